import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
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

  describe("Maintenance: Hash and Snapshot", () => {
    const path = "/etcdserverpb.Maintenance";
    const put = (api: TestApi, value: string) =>
      api.client.call(
        "/etcdserverpb.KV/Put",
        encode((w) => {
          w.bytes(2, Buffer.from(value));
          w.string(1, "/a");
        }),
      );
    const hashKv = async (api: TestApi, revision: number) => {
      const answer = await api.client.call(`${path}/HashKV`, int64Message({ 1: revision }));
      return decodeInto({ revision: 0, hash: 0, compacted: 0, at: 0 }, answer, {
        1: (m, r) => (m.revision = readHeader(r.bytes()).revision),
        2: (m, r) => (m.hash = r.int64()),
        3: (m, r) => (m.compacted = r.int64()),
        4: (m, r) => (m.at = r.int64()),
      });
    };

    test("HashKV agrees between servers, says what it covers, and refuses what reads refuse", async (t) => {
      const [one, other] = [await startApi(t), await startApi(t, { memberName: "other" })];
      for (const api of [one, other]) for (const value of ["1", "2", "3"]) await put(api, value);
      const now = await hashKv(one, 0);
      assert.deepEqual([now.revision, now.compacted, now.at], [4, -1, 4]); // -1 is etcd's
      assert.ok(now.hash > 0 && now.hash < 2 ** 32);
      assert.deepEqual(await hashKv(other, 0), now);
      const old = await hashKv(one, 2);
      assert.notEqual(old.hash, now.hash);
      assert.deepEqual([old.revision, old.at], [4, 2]);
      await assert.rejects(hashKv(one, 5), {
        code: 11,
        details: "etcdserver: mvcc: required revision is a future revision",
      });
      await one.client.call("/etcdserverpb.KV/Compact", int64Message({ 1: 3 }));
      await assert.rejects(hashKv(one, 2), {
        code: 11,
        details: "etcdserver: mvcc: required revision has been compacted",
      });
      assert.equal((await hashKv(one, 3)).compacted, 3);
    });

    test("Hash is that of the current revision", async (t) => {
      const api = await startApi(t);
      await put(api, "1");
      const answer = await api.client.call(`${path}/Hash`, NONE);
      const { revision, hash } = decodeInto({ revision: 0, hash: 0 }, answer, {
        1: (m, r) => (m.revision = readHeader(r.bytes()).revision),
        2: (m, r) => (m.hash = r.int64()),
      });
      assert.deepEqual([revision, hash], [2, (await hashKv(api, 0)).hash]);
    });

    test("Snapshot sends the file in pieces, how much is left, and its SHA-256 at the end", async (t) => {
      const api = await startApi(t);
      for (let i = 0; i < 3; i++) await put(api, randomBytes(100_000).toString("hex"));
      const stream = api.client.stream(t, `${path}/Snapshot`);
      stream.send(NONE);
      const digest = createHash("sha256");
      let left = Infinity;
      for (let size = 0, pieces = 0; ; pieces++) {
        const part = decodeInto<{ left: number; blob: Buffer }>({ left: 0, blob: NONE }, await stream.take(), {
          2: (m, r) => (m.left = r.int64()),
          3: (m, r) => (m.blob = r.bytes()),
        });
        if (part.blob.length === 32) {
          assert.deepEqual(part, { left: 0, blob: digest.digest() });
          assert.ok(pieces > 5 && size % 512 === 0);
          break;
        }
        digest.update(part.blob);
        size += part.blob.length;
        if (pieces === 0) assert.equal(part.blob.subarray(0, 15).toString(), "SQLite format 3");
        assert.ok(part.left < left);
        left = part.left;
      }
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
