import assert from "node:assert/strict";
import { once } from "node:events";
import type { ClientHttp2Session } from "node:http2";
import { test, type TestContext } from "node:test";
import { rangeRequest } from "@k3s/testkit";
import { onEachServer } from "./support/each-server.ts";
import { refuses } from "./support/expect.ts";
import { openSession } from "./support/http2-session.ts";

const VALUE = "v".repeat(1_500_000);
const COUNT = 70;
/** After that long kube-apiserver gives a connection up. */
const PING_LIMIT_MS = 10_000;

async function open(t: TestContext, port: number): Promise<ClientHttp2Session> {
  const session = await openSession(t, `http://127.0.0.1:${port}`);
  session.setLocalWindowSize(16 << 20);
  return session;
}

/** Lists everything from `key` to `end`; resolves with the bytes of the answer. */
async function list(session: ClientHttp2Session, key: string, end: string): Promise<number> {
  const message = rangeRequest({ key, end });
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  const call = session.request({
    ":method": "POST",
    ":path": "/etcdserverpb.KV/Range",
    "content-type": "application/grpc",
    te: "trailers",
  });
  call.end(Buffer.concat([prefix, message]));
  let bytes = 0;
  for await (const chunk of call) bytes += (chunk as Buffer).length;
  return bytes;
}

/** Resolves with the milliseconds that the answer took. */
async function ping(session: ClientHttp2Session): Promise<number> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  session.ping((error: Error | null, durationMs) => (error === null ? resolve(durationMs) : reject(error)));
  return await promise;
}

onEachServer((start) => {
  test("P45 a request over 1.5 MiB is refused as too large, over 2 MiB by gRPC; the connection stays", async (t) => {
    const { client, key } = await start(t);
    const limit = 1_572_864;
    const put = (bytes: number) => client.put({ key: key("a"), value: "v".repeat(bytes) });
    const { header } = await put(limit - 1024);
    await refuses(put(limit), "INVALID_ARGUMENT", "etcdserver: request is too large");
    await refuses(put(limit + 400_000), "INVALID_ARGUMENT", "etcdserver: request is too large");
    for (const bytes of [2_097_152, 3_000_000, 10_000_000]) await assert.rejects(put(bytes), { code: 8 });
    assert.equal(await client.revision(), header.revision);
    assert.equal((await client.range({ key: key("a") })).kvs[0]?.value.length, limit - 1024);
  });

  test("P46, P47 answers over 100 MB arrive; pings and calls are answered meanwhile, no connection ends", async (t) => {
    const { client, connect: another, key, server } = await start(t);
    for (let i = 0; i < COUNT; i += 10)
      await Promise.all(Array.from({ length: 10 }, (_, n) => client.put({ key: key(`big/${i + n}`), value: VALUE })));
    const sessions = await Promise.all(Array.from({ length: 3 }, () => open(t, server.port)));
    const ended = sessions.map((session) => once(session, "close").then(() => "closed"));
    const state = { isDone: false, pings: 0, answers: 0, slowestMs: 0 };

    const [idle, ...busy] = sessions;
    const lists = async () => {
      const sizes = await Promise.all(busy.map((session) => list(session, key("big/"), key("big0"))));
      state.isDone = true;
      return sizes;
    };
    const pings = async () => {
      // A server takes pings for a flood unless it has sent something in between.
      for (const [first] = busy; !state.isDone && first !== undefined; state.pings++) {
        await list(first, key("none"), "");
        state.slowestMs = Math.max(state.slowestMs, await ping(first));
      }
    };
    const calls = async () => {
      const caller = another();
      while (!state.isDone) {
        await caller.put({ key: key("small"), value: `${state.answers}` });
        state.answers++;
      }
    };
    const [sizes] = await Promise.all([lists(), pings(), calls()]);
    for (const bytes of sizes) assert.ok(bytes > COUNT * VALUE.length && bytes > 100_000_000, `${bytes} bytes`);
    assert.ok(state.pings > 0 && state.answers > 0, JSON.stringify(state));
    assert.ok(state.slowestMs < PING_LIMIT_MS, JSON.stringify(state));
    if (idle !== undefined) assert.ok((await ping(idle)) < PING_LIMIT_MS);
    assert.equal(await Promise.race([...ended, Promise.resolve("open")]), "open");
  });
});
