import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { connect, type ClientHttp2Session } from "node:http2";
import { join } from "node:path";
import { after, before, describe, test, type TestContext } from "node:test";
import { until } from "@k3s/testkit";
import { startOnePort, type OnePort } from "./port-6443.ts";

const CONFIG_MAPS = "/api/v1/namespaces/default/configmaps";
const PROTOCOLS = ["--http1.1", "--http2"] as const;

describe("port 6443 in front of a real kube-apiserver", () => {
  const undo = new AsyncDisposableStack();
  let one: OnePort;
  after(() => undo.disposeAsync());
  before(async () => {
    one = undo.use(await startOnePort());
    await makeUser("jane", "/O=dev/CN=jane");
  });

  /** `<folder>/<name>.crt` and `.key`, signed by the client CA. */
  async function makeUser(name: string, subject: string): Promise<void> {
    const file = join(one.folder, name);
    const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", `${file}.key`];
    await one.run("openssl", "req", ...newKey, "-out", `${file}.csr`, "-subj", subject);
    await writeFile(`${file}.ext`, "extendedKeyUsage=clientAuth\n");
    const { cert, key } = one.tls.clientCa;
    const issuer = ["-CA", cert, "-CAkey", key, "-set_serial", "7", "-days", "1", "-extfile", `${file}.ext`];
    await one.run("openssl", "x509", "-req", "-in", `${file}.csr`, ...issuer, "-out", `${file}.crt`);
  }

  const kubectl = (...args: readonly string[]) => one.run("kubectl", "--kubeconfig", one.kubeconfig, ...args);
  const asJane = () => ["--cert", join(one.folder, "jane.crt"), "--key", join(one.folder, "jane.key")];

  /** Body and status code as curl sees them. */
  async function curl(path: string, ...args: readonly string[]): Promise<{ status: number; text: string }> {
    const common = ["-s", "--max-time", "30", "--cacert", one.tls.serverCa.cert, "-w", "\n%{http_code}"];
    const text = await one.run("curl", ...common, ...args, `${one.url}${path}`);
    const cut = text.lastIndexOf("\n");
    return { status: Number(text.slice(cut + 1)), text: text.slice(0, cut) };
  }

  async function admin(t: TestContext): Promise<ClientHttp2Session> {
    const { cert, key } = one.tls.clientAdmin;
    const session = connect(one.url, {
      ca: await readFile(one.tls.serverCa.cert),
      cert: await readFile(cert),
      key: await readFile(key),
    });
    t.after(() => session.destroy());
    session.on("error", () => undefined);
    return session;
  }

  test("kubectl works with the admin kubeconfig", async () => {
    assert.match(await kubectl("get", "namespaces", "-o", "name"), /namespace\/kube-system/);
    assert.equal((await kubectl("auth", "can-i", "*", "*")).trim(), "yes");
    await kubectl("create", "configmap", "made-by-kubectl", "--from-literal=a=b");
    assert.equal(await kubectl("get", "configmap", "made-by-kubectl", "-o", "jsonpath={.data.a}"), "b");
  });

  test("a client certificate is the user of RBAC, with its groups", async () => {
    const before = await curl("/api/v1/namespaces/default/services", ...asJane());
    assert.equal(before.status, 403);
    assert.match(before.text, /User \\"jane\\" cannot list resource \\"services\\"/);
    await kubectl("create", "role", "lister", "--verb=list", "--resource=services", "-n", "default");
    await kubectl("create", "rolebinding", "lister", "--role=lister", "--group=dev", "-n", "default");
    await until("the role counts", async () => {
      return (await curl("/api/v1/namespaces/default/services", ...asJane())).status === 200;
    });
  });

  for (const protocol of PROTOCOLS) {
    const forged = ["-H", "X-Remote-User: system:admin", "-H", "x-remote-group: system:masters"];
    const cases = [
      { name: "nobody", args: () => [], status: 401 },
      { name: "an unknown token", args: () => ["-H", "Authorization: Bearer none"], status: 401 },
      { name: "a user", args: asJane, status: 403 },
      {
        name: "a user who has Connection name them",
        args: () => [...asJane(), "-H", "Connection: X-Remote-User"],
        status: 403,
      },
      {
        name: "a user who impersonates",
        args: () => [...asJane(), "-H", "Impersonate-User: system:admin"],
        status: 403,
      },
    ];
    for (const { name, args, status } of cases) {
      test(`forged identity headers are useless to ${name} (${protocol})`, async () => {
        assert.equal((await curl("/api/v1/secrets", protocol, ...forged, ...args())).status, status);
      });
    }

    test(`the administrator's token passes untouched (${protocol})`, async () => {
      const token = ["-H", "Authorization: Bearer test-token-of-an-administrator"];
      assert.equal((await curl("/api/v1/secrets?limit=1", protocol, ...token)).status, 200);
    });
  }

  test("kube-apiserver takes the front proxy's certificate alone for nobody", async () => {
    const { cert, key } = one.tls.authProxy;
    const url = `https://127.0.0.1:${one.apiserver.port}/api/v1/secrets`;
    const common = ["-s", "-o", "/dev/null", "-w", "%{http_code}", "--cacert", one.tls.serverCa.cert];
    assert.equal(await one.run("curl", ...common, "--cert", cert, "--key", key, url), "401");
  });

  test("a watch shows each change while it runs", async (t) => {
    await kubectl("create", "configmap", "watched", "--from-literal=n=0");
    const watch = spawn("kubectl", [
      "--kubeconfig",
      one.kubeconfig,
      "get",
      "cm",
      "watched",
      "-w",
      "-o",
      "jsonpath={.data.n};",
    ]);
    t.after(() => watch.kill("SIGKILL"));
    let seen = "";
    watch.stdout.on("data", (chunk: Buffer) => (seen += chunk.toString()));
    await until("the object is shown", () => Promise.resolve(seen === "0;"), 20_000);
    for (const n of ["1", "2"]) {
      await kubectl("patch", "configmap", "watched", "-p", JSON.stringify({ data: { n } }));
      await until(`change ${n} is shown`, () => Promise.resolve(seen.includes(`${n};`)), 20_000);
    }
  });

  test("a reader that takes nothing of 50 MB holds nobody up", async (t) => {
    const big = "x".repeat(1_000_000);
    const session = await admin(t);
    for (let index = 0; index < 50; index++) {
      const object = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: `big-${index}` }, data: { big } };
      const stream = session.request({ ":path": CONFIG_MAPS, ":method": "POST", "content-type": "application/json" });
      stream.end(JSON.stringify(object)).resume();
      const [head] = (await once(stream, "response")) as [{ ":status": number }];
      assert.equal(head[":status"], 201);
    }
    const stalled = session.request({ ":path": CONFIG_MAPS });
    await once(stalled, "response");
    stalled.pause();
    const before = process.memoryUsage().rss;
    for (const protocol of PROTOCOLS) {
      for (let count = 0; count < 10; count++)
        assert.equal((await curl("/api/v1/secrets", protocol, ...asJane())).status, 403);
    }
    const grown = process.memoryUsage().rss - before;
    assert.ok(grown < 30 * 2 ** 20, `grew by ${grown} bytes`);
    let bytes = 0;
    for await (const chunk of stalled) bytes += (chunk as Buffer).length;
    assert.ok(bytes > 50_000_000);
  });

  test("a name the certificate does not have is in it for the first client that asks by it", async () => {
    const host = "api.example.com";
    const args = ["-s", "--cacert", one.tls.serverCa.cert, "--resolve", `${host}:${one.port}:127.0.0.1`];
    assert.equal(await one.run("curl", ...args, `https://${host}:${one.port}/ping`), "pong");
  });

  test("what /cacerts says is what the port's certificate is checked against", async () => {
    const bundle = join(one.folder, "fetched-ca.crt");
    await writeFile(bundle, await one.run("curl", "-sk", `${one.url}/cacerts`));
    assert.equal(await one.run("curl", "-s", "--cacert", bundle, `${one.url}/ping`), "pong");
  });

  test("an agent's password opens readyz, and nothing of kube-apiserver", async () => {
    const ready = await curl("/v1-k3s/readyz", "-u", "node:secret");
    assert.deepEqual(ready, { status: 200, text: "ok" });
    assert.equal((await curl("/v1-k3s/readyz", "-u", "node:wrong")).status, 401);
    assert.equal((await curl("/api", "-u", "node:secret")).status, 401);
  });

  test("kube-apiserver is killed: watches break, requests get 503, and all works again without a restart", async (t) => {
    const session = await admin(t);
    const watch = session.request({ ":path": `${CONFIG_MAPS}?watch=1` });
    const broken = new Promise((resolve) => watch.once("error", resolve));
    watch.resume();
    await once(watch, "response");
    process.kill(one.apiserver.program.pid, "SIGKILL");
    await broken;
    const { status, text } = await curl("/api", ...asJane());
    assert.equal(status, 503);
    assert.equal((JSON.parse(text) as { message: string }).message, "apiserver not ready");
    await one.startApiserver();
    assert.match(await kubectl("get", "namespaces", "-o", "name"), /kube-system/);
  });
});
