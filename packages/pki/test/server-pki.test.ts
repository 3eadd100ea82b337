import assert from "node:assert/strict";
import { readFile, stat, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { describe, test } from "node:test";
import { parse } from "yaml";
import { ensureServerPki, serverCredPaths, serverTlsPaths } from "../src/index.ts";
import { changed, fingerprint, folder, madeServer, openssl, options, subjects } from "./support.ts";

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

interface Expected {
  readonly file: string;
  readonly ca: string;
  readonly subject: string;
  readonly purposes: readonly ("sslserver" | "sslclient")[];
  readonly sans: readonly string[];
}

const CONFIGURED = [
  "DNS:node1",
  "IP Address:10.0.0.5",
  "DNS:localhost",
  "IP Address:127.0.0.1",
  "IP Address:0:0:0:0:0:0:0:1",
];
const LOOPBACK = ["DNS:localhost", "IP Address:127.0.0.1", "IP Address:0:0:0:0:0:0:0:1"];
const SERVICE = [
  "DNS:kubernetes",
  "DNS:kubernetes.default",
  "DNS:kubernetes.default.svc",
  "DNS:kubernetes.default.svc.cluster.local",
];
const MASTERS = "O = system:masters, CN = ";

function client(file: string, subject: string, ca = "client-ca"): Expected {
  return { file, ca, subject, purposes: ["sslclient"], sans: [] };
}
function serving(file: string, subject: string, sans: readonly string[]): Expected {
  return { file, ca: "server-ca", subject, purposes: ["sslserver"], sans };
}

const LEAVES: readonly Expected[] = [
  client("client-admin", `${MASTERS}system:admin`),
  client("client-supervisor", `${MASTERS}system:k3s-supervisor`),
  client("client-controller", "CN = system:kube-controller-manager"),
  client("client-scheduler", "CN = system:kube-scheduler"),
  client("client-kube-apiserver", `${MASTERS}system:apiserver`),
  client("client-k3s-cloud-controller", "CN = k3s-cloud-controller-manager"),
  serving("serving-kube-apiserver", "CN = kube-apiserver", [...SERVICE, ...CONFIGURED]),
  serving("kube-scheduler/kube-scheduler", "CN = kube-scheduler", LOOPBACK),
  serving("kube-controller-manager/kube-controller-manager", "CN = kube-controller-manager", LOOPBACK),
  client("client-auth-proxy", "CN = system:auth-proxy", "request-header-ca"),
  client("etcd/client", "CN = etcd-client", "etcd/server-ca"),
  {
    file: "etcd/server-client",
    ca: "etcd/server-ca",
    subject: "CN = etcd-server",
    purposes: ["sslserver", "sslclient"],
    sans: ["DNS:kine.sock", ...CONFIGURED],
  },
  {
    file: "etcd/peer-server-client",
    ca: "etcd/peer-ca",
    subject: "CN = etcd-peer",
    purposes: ["sslserver", "sslclient"],
    sans: ["DNS:kine.sock", ...CONFIGURED],
  },
];

describe("ensureServerPki() on an empty folder", () => {
  test("makes leaves with subject, names and purposes that openssl reads back and verifies", async (t) => {
    const { tls } = await madeServer(t);
    for (const { file, ca, subject, purposes, sans } of LEAVES) {
      const cert = join(tls.dir, `${file}.crt`);
      const text = await openssl("x509", "-in", cert, "-noout", "-text");
      assert.match(text, new RegExp(`Subject: ${subject}\\n`), file);
      const [, names = ""] = /Subject Alternative Name: *\n *(.*)/.exec(text) ?? [];
      assert.deepEqual(names === "" ? [] : names.split(", "), sans, file);
      assert.match(text, /Key Usage: critical\n *Digital Signature, Key Encipherment\n/, file);
      assert.doesNotMatch(text, /Basic Constraints/, file);
      for (const purpose of ["sslserver", "sslclient"] as const) {
        const verified = openssl(
          "verify",
          "-x509_strict",
          "-CAfile",
          join(tls.dir, `${ca}.crt`),
          "-purpose",
          purpose,
          cert,
        );
        if (purposes.includes(purpose)) assert.match(await verified, /: OK/);
        else await assert.rejects(verified, /unsuitable certificate purpose/, file);
      }
      assert.equal((await subjects(cert)).length, 2, `${file} holds leaf and CA`);
    }
  });

  test("makes CAs of ten years from an hour ago with serial 0 and a key id that the leaves point at", async (t) => {
    const now = new Date(Math.floor(Date.now() / 1000) * 1000);
    const { tls } = await madeServer(t, { now });
    const prefixes = [
      [tls.clientCa, "k3s-client"],
      [tls.serverCa, "k3s-server"],
      [tls.requestHeaderCa, "k3s-request-header"],
      [tls.etcdServerCa, "etcd-server"],
      [tls.etcdPeerCa, "etcd-peer"],
    ] as const;
    for (const [{ cert }, prefix] of prefixes) {
      const text = await openssl("x509", "-in", cert, "-noout", "-text");
      assert.ok(text.includes(`Subject: CN = ${prefix}-ca@${now.getTime() / 1000}\n`), text);
      assert.match(text, /Serial Number: 0 \(0x0\)/);
      assert.match(text, /Key Usage: critical\n *Digital Signature, Key Encipherment, Certificate Sign\n/);
      assert.match(text, /Basic Constraints: critical\n *CA:TRUE\n/);
      assert.doesNotMatch(text, /Authority Key Identifier/);
      const dates = await openssl("x509", "-in", cert, "-noout", "-dates", "-dateopt", "iso_8601");
      const [, from = "", to = ""] = /notBefore=(.*)\nnotAfter=(.*)\n/.exec(dates) ?? [];
      assert.equal(Date.parse(from), now.getTime() - HOUR_MS);
      assert.equal(Date.parse(to), now.getTime() + 3650 * DAY_MS);
    }
    const id = async (cert: string, extension: string) => {
      const text = await openssl("x509", "-in", cert, "-noout", "-ext", extension);
      return /([0-9A-F]{2}:){19}[0-9A-F]{2}/.exec(text)?.[0];
    };
    const authority = await id(tls.serverCa.cert, "subjectKeyIdentifier");
    assert.ok(authority);
    assert.equal(await id(tls.servingApiServer.cert, "authorityKeyIdentifier"), authority);
  });

  test("writes keys as SEC1 with mode 0600, certificates with 0644, and the service key as PKCS#1", async (t) => {
    const { tls, cred, serverDir } = await madeServer(t);
    const files = [...(await fingerprint(serverDir)).keys()].map((name) => join(serverDir, name));
    for (const path of files) {
      const expected = path.endsWith(".crt") ? 0o644 : 0o600;
      assert.equal((await stat(path)).mode & 0o777, expected, path);
      if (!path.endsWith(".key")) continue;
      const header = basename(path).startsWith("service.") ? "BEGIN RSA PRIVATE KEY" : "BEGIN EC PRIVATE KEY";
      assert.ok((await readFile(path, "utf8")).startsWith(`-----${header}-----\n`), path);
    }
    assert.match(await openssl("rsa", "-in", tls.serviceKey, "-noout", "-text"), /Private-Key: \(2048 bit/);
    assert.equal(await readFile(tls.serviceCurrentKey, "utf8"), await readFile(tls.serviceKey, "utf8"));
    assert.match(await readFile(cred.ipsecPsk, "utf8"), /^[0-9a-f]{96}\n$/);
    for (const { key } of [tls.clientKubeProxy, tls.clientK3sController, tls.clientKubelet, tls.servingKubelet]) {
      assert.ok(files.includes(key), key);
    }
    assert.equal((await stat(serverDir)).mode & 0o777, 0o700);
    assert.equal((await stat(tls.temporaryCertsDir)).mode & 0o777, 0o700);
  });

  test("writes kubeconfigs that point at files which exist and belong together", async (t) => {
    const { tls, cred } = await madeServer(t);
    assert.deepEqual(parse(await readFile(cred.controllerKubeconfig, "utf8")), {
      apiVersion: "v1",
      kind: "Config",
      preferences: {},
      clusters: [
        { name: "local", cluster: { server: "https://127.0.0.1:6444", "certificate-authority": tls.serverCa.cert } },
      ],
      contexts: [{ name: "Default", context: { cluster: "local", namespace: "default", user: "user" } }],
      "current-context": "Default",
      users: [
        {
          name: "user",
          user: { "client-certificate": tls.clientController.cert, "client-key": tls.clientController.key },
        },
      ],
    });
  });

  test("leaves out the serving certificate of etcd where there is no etcd", async (t) => {
    const { tls, made } = await madeServer(t, { hasEtcd: false });
    const paths = made.map(({ path }) => path);
    assert.ok(!paths.includes(tls.etcdServer.cert));
    assert.ok(paths.includes(tls.etcdPeer.cert));
  });

  test("refuses a name that no certificate can hold", async (t) => {
    const serverDir = join(await folder(t), "server");
    const made = ensureServerPki(options(serverDir, { sans: ["münchen.example"] }));
    await assert.rejects(made, { code: "ERR_PKI_NAME_INVALID" });
  });

  test("keeps the event loop free", async (t) => {
    const serverDir = join(await folder(t), "server");
    let turns = 0;
    let isDone = false;
    const count = () => {
      turns += 1;
      if (!isDone) setImmediate(count);
    };
    setImmediate(count);
    await ensureServerPki(options(serverDir));
    isDone = true;
    assert.ok(turns > 100, `only ${turns} turns of the event loop`);
  });
});

describe("ensureServerPki() on a folder that is complete", () => {
  test("changes nothing: neither content nor time nor inode", async (t) => {
    const { serverDir } = await madeServer(t);
    const before = await fingerprint(serverDir);
    const { made } = await ensureServerPki(options(serverDir));
    assert.deepEqual(made, []);
    assert.deepEqual(changed(before, await fingerprint(serverDir)), []);
  });

  test("rewrites kubeconfigs when the address of the API server changed", async (t) => {
    const { serverDir } = await madeServer(t);
    const before = await fingerprint(serverDir);
    await ensureServerPki(options(serverDir, { apiServerUrl: "https://[::1]:6444" }));
    const paths = changed(before, await fingerprint(serverDir));
    assert.deepEqual(
      paths,
      ["admin", "api-server", "cloud-controller", "controller", "scheduler", "supervisor"].map(
        (name) => `cred/${name}.kubeconfig`,
      ),
    );
    const config: unknown = parse(await readFile(join(serverDir, "cred/admin.kubeconfig"), "utf8"));
    assert.match(JSON.stringify(config), /"server":"https:\/\/\[::1\]:6444"/);
  });

  test("removes the two client certificates of old releases", async (t) => {
    const { serverDir, tls } = await madeServer(t);
    const keyBefore = await readFile(tls.clientKubeProxy.key, "utf8");
    await writeFile(tls.clientKubeProxy.cert, "old");
    await writeFile(tls.clientK3sController.cert, "old");
    await ensureServerPki(options(serverDir));
    await assert.rejects(stat(tls.clientKubeProxy.cert), { code: "ENOENT" });
    await assert.rejects(stat(tls.clientK3sController.cert), { code: "ENOENT" });
    assert.equal(await readFile(tls.clientKubeProxy.key, "utf8"), keyBefore);
  });

  test("takes the first key of a longer service key as the current one", async (t) => {
    const { serverDir, tls } = await madeServer(t);
    const old = await readFile(tls.serviceKey, "utf8");
    const fresh = await openssl("genrsa", "-traditional", "2048");
    await writeFile(tls.serviceKey, `${fresh}${old}`);
    await ensureServerPki(options(serverDir));
    assert.equal(await readFile(tls.serviceCurrentKey, "utf8"), fresh);
    assert.equal(await readFile(tls.serviceKey, "utf8"), `${fresh}${old}`);
  });
});

describe("serverTlsPaths()", () => {
  test("and serverCredPaths() name everything below the server folder", () => {
    assert.equal(serverTlsPaths("/s").servingApiServer.cert, "/s/tls/serving-kube-apiserver.crt");
    assert.equal(serverCredPaths("/s").passwd, "/s/cred/passwd");
  });
});
