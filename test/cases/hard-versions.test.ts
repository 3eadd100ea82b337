import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";
import { decodeInto } from "@k3s/etcd-api";
import { ETCDCTLS, findProgram } from "@k3s/testkit";
import { onEachServer } from "./support/each-server.ts";
import { scaled } from "./support/scale.ts";

const run = promisify(execFile);

/** What kube-apiserver from 1.31 on makes of the version of Maintenance.Status (k8s.io/apiserver, etcd3/feature). */
function usesProgress(version: string): boolean {
  const [major = 0, minor = 0, patch = 0] = version.split(".").map(Number);
  if (major !== 3) return major > 3;
  if (minor === 5) return patch >= 13;
  return minor > 5 || (minor === 4 && patch >= 31);
}

test("hard case 39, version gating and tools: the rule takes the versions that the case names as kube-apiserver does", () => {
  const versions = ["3.4.20", "3.5.5", "3.5.13", "3.6.11"];
  assert.deepEqual(versions.map(usesProgress), [false, false, true, true]);
});

onEachServer((start) => {
  test("hard case 39, version gating and tools: our version is one whose progress is used, and it is answered", async (t) => {
    const { client, key } = await start(t);
    const status = await client.maintenance("Status");
    const { version } = decodeInto({ version: "" }, status, { 2: (m, r) => (m.version = r.string()) });
    assert.ok(usesProgress(version), version);
    const watch = client.watch();
    const { revision } = (await client.put({ key: key("b") })).header;
    await watch.create({ key: key("a") });
    watch.requestProgress();
    const { watchId, header } = await watch.take("progress");
    assert.deepEqual([watchId, header?.revision], [-1, revision]);
  });

  for (const name of ETCDCTLS)
    test(`hard case 39, version gating and tools: ${name} tells health, status and members`, async (t) => {
      const { server } = await start(t);
      const program = await findProgram(name);
      const endpoint = `127.0.0.1:${server.port}`;
      const etcdctl = async (...args: readonly string[]) => {
        const env = { ETCDCTL_API: "3" };
        const { stdout, stderr } = await run(program, [`--endpoints=${endpoint}`, ...args], { env, timeout: 120_000 });
        return stdout + stderr;
      };
      assert.match(await etcdctl("endpoint", "health"), /is healthy: successfully committed proposal/);
      const [status] = JSON.parse(await etcdctl("endpoint", "status", "-w", "json")) as readonly unknown[];
      assert.equal((status as { readonly Endpoint?: unknown } | undefined)?.Endpoint, endpoint);
      assert.match(await etcdctl("member", "list"), /^[0-9a-f]+, started, /);
      // The smallest load takes a minute: bench/ runs all of them, here only that the tool finishes counts.
      if (scaled({ short: false, full: true })) assert.match(await etcdctl("check", "perf"), /Throughput/);
    });

  test("hard case 39, version gating and tools: /health and /version are served beside gRPC", async (t) => {
    const { server } = await start(t);
    const get = async (path: string): Promise<unknown> =>
      (await fetch(`http://127.0.0.1:${server.port}${path}`)).json();
    assert.equal(((await get("/health")) as { readonly health?: unknown }).health, "true");
    const { etcdserver } = (await get("/version")) as { readonly etcdserver: string };
    assert.ok(usesProgress(etcdserver), etcdserver);
    const service = Buffer.alloc(0);
    const { client } = await start(t);
    const check = await client.raw.call("/grpc.health.v1.Health/Check", service);
    assert.equal(decodeInto({ status: 0 }, check, { 1: (m, r) => (m.status = r.int64()) }).status, 1);
  });
});
