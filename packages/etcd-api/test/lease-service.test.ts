import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { decodeInto } from "../src/proto/proto-reader.ts";
import { onEachTransport, type TestApi } from "./support/api.ts";
import { int64Message, putRequest, rangeRequest, readAnswer, readLease } from "@k3s/testkit";

const NOT_FOUND = 5;

class Leases {
  readonly #api: TestApi;

  constructor(api: TestApi) {
    this.#api = api;
  }

  async grant(ttl: number, id = 0n) {
    return readLease(await this.#api.client.call("/etcdserverpb.Lease/LeaseGrant", int64Message({ 1: ttl, 2: id })));
  }

  async timeToLive(id: bigint, keys: boolean) {
    const request = int64Message({ 1: id, 2: keys ? 1 : 0 });
    return readLease(await this.#api.client.call("/etcdserverpb.Lease/LeaseTimeToLive", request));
  }

  async revoke(id: bigint) {
    return readAnswer.header(await this.#api.client.call("/etcdserverpb.Lease/LeaseRevoke", int64Message({ 1: id })));
  }

  async list(): Promise<bigint[]> {
    const answer = await this.#api.client.call("/etcdserverpb.Lease/LeaseLeases", Buffer.alloc(0));
    const ids: bigint[] = [];
    decodeInto(ids, answer, {
      2: (all, r) => {
        decodeInto(all, r.bytes(), { 1: (to, status) => to.push(status.bigint64()) });
      },
    });
    return ids;
  }

  put(key: string, lease: bigint) {
    return this.#api.client.call("/etcdserverpb.KV/Put", putRequest({ key, value: "x", lease }));
  }
}

onEachTransport((startApi) => {
  async function startLeases(t: TestContext): Promise<[Leases, TestApi]> {
    const api = await startApi(t);
    return [new Leases(api), api];
  }

  describe("Lease", () => {
    test("ids are chosen by the server, or by the client as a full 64-bit number", async (t) => {
      const [leases] = await startLeases(t);
      const own = await leases.grant(60);
      assert.ok(own.id > 0n);
      assert.deepEqual([own.ttl, own.header?.revision], [60, 1]);
      const chosen = 7_587_862_094_993_408_001n;
      assert.equal((await leases.grant(60, chosen)).id, chosen);
      await assert.rejects(leases.grant(60, chosen), { code: 9, details: "etcdserver: lease already exists" });
      await assert.rejects(leases.grant(9_000_000_001), { code: 11, details: "etcdserver: too large lease TTL" });
      assert.deepEqual((await leases.list()).toSorted(), [own.id, chosen].toSorted());
    });

    test("revocation deletes the keys of the lease", async (t) => {
      const [leases, api] = await startLeases(t);
      const { id } = await leases.grant(60);
      await leases.put("/a", id);
      await leases.put("/b", id);
      assert.deepEqual((await leases.timeToLive(id, true)).keys.toSorted(), ["/a", "/b"]);
      assert.deepEqual((await leases.timeToLive(id, false)).keys, []);
      assert.equal((await leases.timeToLive(id, false)).granted, 60);
      await leases.revoke(id);
      const range = await api.client.call("/etcdserverpb.KV/Range", rangeRequest({ key: "/", end: "0" }));
      assert.deepEqual(readAnswer.range(range).kvs, []);
      await assert.rejects(leases.revoke(id), { code: NOT_FOUND, details: "etcdserver: requested lease not found" });
      await assert.rejects(leases.put("/a", id), { code: NOT_FOUND });
    });

    test("an unknown lease has -1 seconds to live and is kept alive for 0", async (t) => {
      const [leases, api] = await startLeases(t);
      assert.deepEqual((await leases.timeToLive(5n, true)).ttl, -1);
      const { id } = await leases.grant(60);
      const stream = api.client.stream(t, "/etcdserverpb.Lease/LeaseKeepAlive");
      for (const [asked, ttl] of [
        [id, 60],
        [5n, 0],
      ] as const) {
        stream.send(int64Message({ 1: asked }));
        const answer = readLease(await stream.take());
        assert.deepEqual([answer.id, answer.ttl, answer.header?.revision], [asked, ttl, 1]);
      }
    });

    test("the server's stop ends a stream that keeps a lease alive, so that another server renews it", async (t) => {
      const [leases, api] = await startLeases(t);
      const { id } = await leases.grant(60);
      const stream = api.client.stream(t, "/etcdserverpb.Lease/LeaseKeepAlive");
      stream.send(int64Message({ 1: id }));
      await stream.take();
      const hurry = new AbortController();
      const stopped = api.server.stop(hurry.signal);
      try {
        await assert.rejects(stream.take(), { code: 14, details: "etcdserver: server stopped" });
      } finally {
        hurry.abort(); // a stop that waits for the stream would wait for ever
      }
      await stopped;
    });
  });
});
