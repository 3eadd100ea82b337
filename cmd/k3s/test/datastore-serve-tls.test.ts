import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { promisify } from "node:util";
import { ensureServerPki, serverTlsPaths } from "@k3s/pki";
import { temporaryFolder } from "./cli-process.ts";
import { etcdctl, serveDatastore } from "./datastore-server.ts";

const DAY_MS = 86_400_000;

/** Real certificates, those of a server of ours. */
async function certificates(t: TestContext) {
  const serverDir = await temporaryFolder(t);
  const apiServerUrl = "https://127.0.0.1:6444";
  await ensureServerPki({ serverDir, clusterDomain: "cluster.local", sans: ["127.0.0.1"], apiServerUrl });
  return serverTlsPaths(serverDir);
}

/** A certificate that is valid from one day to another, counted from now. `begin`, `end`: as the log writes them. */
async function selfSigned(folder: string, from: number, to: number) {
  const [cert, key] = [join(folder, "tls.crt"), join(folder, "tls.key")];
  const [begin, end] = [from, to].map((days) => `${new Date(Date.now() + days * DAY_MS).toISOString().slice(0, 19)}Z`);
  assert.ok(begin !== undefined && end !== undefined);
  const [startDate, endDate] = [begin, end].map((time) => time.replaceAll(/[-:T]/g, ""));
  const [request, config] = [join(folder, "tls.csr"), join(folder, "ca.cnf")];
  const own = `database=${folder}/index\nnew_certs_dir=${folder}\nrand_serial=yes\ndefault_md=sha256\npolicy=any`;
  await writeFile(config, `[ca]\ndefault_ca=own\n[own]\n${own}\n[any]\ncommonName=supplied\n`);
  await writeFile(join(folder, "index"), "");
  const openssl = (args: readonly string[]) => promisify(execFile)("openssl", args);
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key];
  await openssl(["req", ...curve, "-subj", "/CN=x", "-out", request]);
  const term = ["-startdate", startDate ?? "", "-enddate", endDate ?? ""];
  const signing = ["-batch", "-notext", "-selfsign", "-keyfile", key, "-config", config];
  await openssl(["ca", ...signing, ...term, "-in", request, "-out", cert]);
  return { cert, key, begin, end };
}

describe("k3s datastore serve with certificates", () => {
  test("wants TLS and a client certificate when it is given files", async (t) => {
    const folder = await temporaryFolder(t);
    const { servingApiServer, clientCa, clientSupervisor, serverCa } = await certificates(t);
    const { endpoint, metricsPort } = await serveDatastore(t, [
      `--endpoint=sqlite://${folder}/x.db`,
      `--server-cert-file=${servingApiServer.cert}`,
      `--server-key-file=${servingApiServer.key}`,
      `--trusted-ca-file=${clientCa.cert}`,
      "--metrics-bind-address=127.0.0.1:0",
      "--metrics-ignore-tls-config",
    ]);
    const url = `--endpoints=https://${endpoint}`;
    const pair = [`--cert=${clientSupervisor.cert}`, `--key=${clientSupervisor.key}`];
    assert.equal(await etcdctl([url, `--cacert=${serverCa.cert}`, ...pair, "put", "/a", "1"]), "OK\n");
    await assert.rejects(etcdctl([url, `--cacert=${serverCa.cert}`, "--command-timeout=1s", "get", "/a"]));
    await assert.rejects(etcdctl([`--endpoints=http://${endpoint}`, "--command-timeout=1s", "get", "/a"]));
    assert.equal((await fetch(`http://127.0.0.1:${metricsPort}/metrics`)).status, 200);
  });

  for (const { title, from, to, warning } of [
    { title: "has expired", from: -3, to: -2, warning: /has expired on DATE: [^"]*renew it/ },
    { title: "ends within 30 days", from: -1, to: 29, warning: /ends on DATE: [^"]*renew it/ },
    { title: "is not valid yet", from: 2, to: 90, warning: /is not valid before DATE: [^"]*clock/ },
    { title: "is good for longer", from: -1, to: 31, warning: undefined },
  ])
    test(`serves with a certificate that ${title}, and ${warning === undefined ? "says nothing of it" : "warns"}`, async (t) => {
      const folder = await temporaryFolder(t);
      const { cert, key, begin, end } = await selfSigned(folder, from, to);
      const files = [`--server-cert-file=${cert}`, `--server-key-file=${key}`];
      const served = await serveDatastore(t, [`--endpoint=sqlite://${folder}/x.db`, ...files]);
      const told = served
        .log()
        .split("\n")
        .filter((line) => line.includes(cert));
      assert.equal(told.length, warning === undefined ? 0 : 1);
      if (warning === undefined) return;
      const date = from > 0 ? begin : end;
      assert.match(
        told.join(""),
        new RegExp(`WARN .*--server-cert-file ${cert} ${warning.source.replace("DATE", date)}`),
      );
    });
});
