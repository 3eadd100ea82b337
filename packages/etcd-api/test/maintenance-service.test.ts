import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { decodeInto } from "../src/proto/proto-reader.ts";
import { encode } from "../src/proto/proto-writer.ts";
import { onEachTransport, type TestApi } from "./support/api.ts";
import { int64Message, readAnswer, readHeader } from "@k3s/testkit";

const NONE = Buffer.alloc(0);
const SERVING = 1;
const NOT_SERVING = 2;
const SERVICE_UNKNOWN = 3;

async function status(api: TestApi) {
  const answer = await api.client.call("/etcdserverpb.Maintenance/Status", NONE);
  const empty = { memberId: 0n, version: "", dbSize: 0, leader: 0n, index: 0, term: 0, applied: 0, inUse: 0 };
  return decodeInto(empty, answer, {
    1: (m, r) => (m.memberId = readHeader(r.bytes()).memberId),
    2: (m, r) => (m.version = r.string()),
    3: (m, r) => (m.dbSize = r.int64()),
    4: (m, r) => (m.leader = BigInt.asUintN(64, r.bigint64())),
    5: (m, r) => (m.index = r.int64()),
    6: (m, r) => (m.term = r.int64()),
    7: (m, r) => (m.applied = r.int64()),
    9: (m, r) => (m.inUse = r.int64()),
  });
}

const health = (service: string) => encode((w) => w.string(1, service));
const readHealth = (bytes: Buffer) => decodeInto({ status: 0 }, bytes, { 1: (m, r) => (m.status = r.int64()) }).status;
onEachTransport((startApi) => {
  const check = async (t: TestContext, service: string) =>
    readHealth(await (await startApi(t)).client.call("/grpc.health.v1.Health/Check", health(service)));

  describe("Maintenance", () => {
    test("Status names a release with watch progress, a leader, sizes and positions", async (t) => {
      const api = await startApi(t);
      const answer = await status(api);
      assert.equal(answer.version, "3.6.11");
      assert.ok(answer.leader !== 0n && answer.leader === answer.memberId);
      assert.ok(answer.dbSize > 0 && answer.inUse > 0 && answer.inUse <= answer.dbSize);
      assert.deepEqual([answer.index, answer.applied, answer.term], [1, 1, 1]);
    });

    test("the member id depends on the name, and on nothing else", async (t) => {
      const id = async (memberName: string) => (await status(await startApi(t, { memberName }))).memberId;
      assert.equal(await id("one"), await id("one"));
      assert.notEqual(await id("one"), await id("two"));
    });

    test("Alarm lists none, takes none back and raises none", async (t) => {
      const api = await startApi(t);
      const alarm = async (action: number) =>
        api.client.call("/etcdserverpb.Maintenance/Alarm", int64Message({ 1: action }));
      for (const action of [0, 2]) assert.equal(readAnswer.header(await alarm(action)).header?.revision, 1);
      await assert.rejects(alarm(1), { code: 12 });
    });

    test("Defragment answers when it is done", async (t) => {
      const api = await startApi(t);
      const answer = await api.client.call("/etcdserverpb.Maintenance/Defragment", NONE);
      assert.equal(readAnswer.header(answer).header?.revision, 1);
    });
  });

  describe("Health", () => {
    for (const service of ["", "etcdserverpb.KV"]) {
      test(`Check says that "${service}" is served`, async (t) => assert.equal(await check(t, service), SERVING));
    }

    test("Check does not know other services", async (t) => {
      await assert.rejects(check(t, "other"), { code: 5 });
    });

    test("Watch tells when serving ends", async (t) => {
      const api = await startApi(t);
      const stream = api.client.stream(t, "/grpc.health.v1.Health/Watch");
      stream.send(health(""));
      assert.equal(readHealth(await stream.take()), SERVING);
      const unknown = api.client.stream(t, "/grpc.health.v1.Health/Watch");
      unknown.send(health("other"));
      assert.equal(readHealth(await unknown.take()), SERVICE_UNKNOWN);
      const stopped = api.server.stop(AbortSignal.timeout(5000));
      assert.equal(readHealth(await stream.take()), NOT_SERVING);
      await stopped;
    });
  });
});
