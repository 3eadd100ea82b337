import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { test } from "node:test";
import { promisify } from "node:util";
import { decodeInto, encode } from "@k3s/etcd-api";
import { ETCDCTLS, findProgram, int64Message, readHeader, type Header } from "@k3s/testkit";
import { onEachServer } from "./support/each-server.ts";
import { refuses } from "./support/expect.ts";

const run = promisify(execFile);

interface Status {
  header?: Header;
  version: string;
  dbSize: number;
  leader: bigint;
  raftIndex: number;
  raftTerm: number;
  dbSizeInUse: number;
}

function readStatus(bytes: Buffer): Status {
  const empty: Status = { version: "", dbSize: 0, leader: 0n, raftIndex: 0, raftTerm: 0, dbSizeInUse: 0 };
  return decodeInto(empty, bytes, {
    1: (m, r) => (m.header = readHeader(r.bytes())),
    2: (m, r) => (m.version = r.string()),
    3: (m, r) => (m.dbSize = r.int64()),
    4: (m, r) => (m.leader = BigInt.asUintN(64, r.bigint64())),
    5: (m, r) => (m.raftIndex = r.int64()),
    6: (m, r) => (m.raftTerm = r.int64()),
    9: (m, r) => (m.dbSizeInUse = r.int64()),
  });
}

/** Kubernetes' rule for asking a server for progress. */
function hasTrustedProgress(version: string): boolean {
  const [major = 0, minor = 0, patch = 0] = version.split(/[.-]/).map(Number);
  const number = major * 1_000_000 + minor * 1000 + patch;
  return number >= 3_004_031 && !(number >= 3_005_000 && number < 3_005_013);
}

onEachServer((start) => {
  test("P41 Status: a version whose progress is trusted, sizes, one leader, a header", async (t) => {
    const { client, key } = await start(t);
    const { header } = await client.put({ key: key("a") });
    const status = readStatus(await client.maintenance("Status"));
    assert.match(status.version, /^3\.\d+\.\d+$/);
    assert.ok(hasTrustedProgress(status.version), status.version);
    assert.ok(status.dbSize > 0 && status.dbSizeInUse > 0 && status.dbSizeInUse <= status.dbSize);
    assert.ok(status.leader > 0n && status.raftIndex > 0 && status.raftTerm > 0);
    assert.deepEqual([status.leader, status.header], [header.memberId, header]);
  });

  for (const name of ETCDCTLS)
    test(`P42 MemberList, Alarm GET: ${name} tells health, status, members and alarms`, async (t) => {
      const { server } = await start(t);
      const program = await findProgram(name);
      const etcdctl = async (...args: readonly string[]) => {
        const endpoint = `--endpoints=127.0.0.1:${server.port}`;
        const env = { ETCDCTL_API: "3" };
        const { stdout, stderr } = await run(program, [endpoint, ...args], { env, timeout: 20_000 });
        return stdout + stderr;
      };
      assert.match(await etcdctl("endpoint", "health"), /is healthy/);
      const [status] = JSON.parse(await etcdctl("endpoint", "status", "-w", "json")) as [
        { readonly Status: { readonly leader: number; readonly header: { readonly member_id: number } } },
      ];
      assert.equal(status.Status.leader, status.Status.header.member_id);
      const members = await etcdctl("member", "list");
      assert.equal(members.trim().split("\n").length, 1);
      assert.match(members, /started/);
      assert.equal(await etcdctl("alarm", "list"), "");
    });

  test("P42 Alarm GET: there are none", async (t) => {
    const { client } = await start(t);
    const alarms = decodeInto({ count: 0 }, await client.maintenance("Alarm", int64Message({ 1: 0 })), {
      2: (to, r) => (to.count += r.bytes().length),
    });
    assert.equal(alarms.count, 0);
  });

  test("P43 gRPC health: serving", async (t) => {
    const { client } = await start(t);
    const status = async (service: string) => {
      const request = encode((w) => w.string(1, service));
      return await client.raw.call("/grpc.health.v1.Health/Check", request);
    };
    assert.equal((await status("")).toString("hex"), "0801");
    await refuses(status("nobody"), "NOT_FOUND", "unknown service");
    const watch = client.raw.stream(t, "/grpc.health.v1.Health/Watch");
    watch.send(Buffer.alloc(0));
    watch.end();
    assert.equal((await watch.take()).toString("hex"), "0801");
  });

  test("P44 /health, /version and /metrics on the client port", async (t) => {
    const { client, key, server } = await start(t);
    await client.put({ key: key("a") });
    const get = (path: string) => fetch(`http://127.0.0.1:${server.port}${path}`);
    const health = await get("/health");
    assert.deepEqual([health.status, await health.json()], [200, { health: "true", reason: "" }]);
    const version = await get("/version");
    const { etcdserver, etcdcluster } = (await version.json()) as Record<string, string>;
    assert.deepEqual([version.status, etcdserver], [200, readStatus(await client.maintenance("Status")).version]);
    assert.match(etcdcluster ?? "", /^3\.\d+\.0$/);
    const metrics = await get("/metrics");
    assert.equal(metrics.status, 200);
    assert.match(await metrics.text(), /^process_resident_memory_bytes \d/m);
    assert.equal((await get("/nothing")).status, 404);

    const socket = connect(server.port, "127.0.0.1");
    t.after(() => socket.destroy());
    socket.write("GET /health HTTP/1.0\r\n\r\n"); // etcd gives the question up when its asker ends the connection
    assert.match(await text(socket), /^HTTP\/1\.[01] 200 OK\r\n[^]*\{"health":"true","reason":""\}/);
  });

  test("P44 /livez and /readyz on the client port, and each of their checks", async (t) => {
    const { server } = await start(t);
    const get = async (path: string) => {
      const answer = await fetch(`http://127.0.0.1:${server.port}${path}`);
      return [answer.status, answer.headers.get("content-type"), await answer.text()];
    };
    const ok = (body: string) => [200, "text/plain; charset=utf-8", body];
    const checks = ["data_corruption", "serializable_read", "linearizable_read"];
    for (const path of ["/livez", "/livez/serializable_read", "/readyz", ...checks.map((name) => `/readyz/${name}`)])
      assert.deepEqual(await get(path), ok("ok\n"), path);
    assert.deepEqual(await get("/livez?verbose"), ok("[+]serializable_read ok\nok\n"));
    assert.deepEqual(await get("/livez?exclude=serializable_read&verbose"), ok("ok\n"));
    const one = "/readyz/linearizable_read?verbose&exclude=linearizable_read";
    assert.deepEqual(await get(one), ok("[+]linearizable_read ok\nok\n"));
    assert.equal((await get("/readyz/nothing"))[0], 404);
    assert.equal((await get("/livez/"))[0], 404);
  });

  test("P51 unknown method or service: Unimplemented, in the words of Go's server", async (t) => {
    const { client, differs } = await start(t);
    const call = (path: string) => client.raw.call(path, Buffer.alloc(0));
    for (const [path, words] of [
      ["/etcdserverpb.KV/Nothing", "unknown method Nothing for service etcdserverpb.KV"],
      ["/nobody.Nowhere/Nothing", "unknown service nobody.Nowhere"],
    ] as const)
      if (differs("own words for unknown methods")) await assert.rejects(call(path), { code: 12 });
      else await refuses(call(path), "UNIMPLEMENTED", words);
    assert.ok((await client.revision()) > 0);
  });

  test("P50 RangeStream: Unimplemented, so that clients fall back to Range", async (t) => {
    const { client } = await start(t);
    const stream = client.raw.stream(t, "/etcdserverpb.KV/RangeStream");
    stream.send(int64Message({ 3: 1 }));
    await assert.rejects(stream.take(), { code: 12 });
    assert.ok((await client.revision()) > 0);
  });
});
