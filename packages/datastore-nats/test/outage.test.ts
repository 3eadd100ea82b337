import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { nextTurn } from "@k3s/async";
import { StoreError, type OpenStore } from "@k3s/datastore";
import { createLogger } from "@k3s/log";
import { until } from "@k3s/testkit";
import { openNatsDriver } from "../src/index.ts";
import { openDriver, openTestStore, startNats } from "./support/nats-fixture.ts";
import { everything, just, put, texts, when } from "./support/ops.ts";
import { Recorder } from "./support/recorder.ts";
import { nothing, ofKind, row } from "./support/rows.ts";

const isUnavailable = (error: unknown) => error instanceof StoreError && error.reason === "unavailable";

/** Writes until one succeeds, and counts what was refused meanwhile. */
async function untilWritable(store: OpenStore, key: string): Promise<number> {
  let refused = 0;
  await until("the store takes writes", async () => {
    try {
      await store.txn(just(put(key, "back")));
      return true;
    } catch (error) {
      assert.ok(isUnavailable(error), String(error));
      refused++;
      return false;
    }
  });
  return refused;
}

describe("hard case 34, O3: NATS away", () => {
  test("is a failure of every request, and over when it is back", async (t) => {
    const server = await startNats(t);
    const driver = await openDriver(t, server);
    await driver.commit({ ...nothing, rows: [row(1, "/a")] });
    await server.kill();
    await until("the loss is noticed", async () => {
      const failed = await driver.values([1]).then(
        () => false,
        (error: unknown) => ofKind("failed")(error),
      );
      return failed;
    });
    await assert.rejects(driver.commit({ ...nothing, after: 1, rows: [row(2, "/b")] }), (error: Error) => {
      assert.match(error.message, /is away$/);
      return ofKind("failed")(error);
    });
    await assert.rejects(driver.heads(0, 1), ofKind("failed"));
    await assert.rejects(async () => driver.shared?.position(), ofKind("failed"));
    await assert.rejects(async () => driver.shared?.claim("servers"), ofKind("failed"));
    await server.restart();
    await until("the driver writes again", async () => {
      await driver.commit({ ...nothing, after: 1, rows: [row(2, "/b")] });
      return true;
    });
    assert.deepEqual(
      (await driver.heads(0, 10)).map(({ id }) => id),
      [1, 2],
    );
  });

  test("loses no acknowledged write when it is killed, and tells every event once", async (t) => {
    const server = await startNats(t);
    const store = await openTestStore(t, server);
    const recorder = new Recorder(store);
    const acknowledged = new Set<string>();
    let running = true;
    const writers = [0, 1, 2, 3].map(async (writer) => {
      for (let i = 0; running; i++) {
        const key = `/k/${writer}/${i}`;
        const done = await store.txn(when(key, 0, put(key, "1"))).then(
          ({ succeeded }) => {
            assert.ok(succeeded, `a false conflict for ${key}`);
            return true;
          },
          (error: unknown) => {
            assert.ok(isUnavailable(error), String(error));
            return false;
          },
        );
        if (done) acknowledged.add(key);
        else await nextTurn();
      }
    });
    for (let round = 0; round < 3; round++) {
      const before = acknowledged.size;
      await until("some more is written", async () => Promise.resolve(acknowledged.size > before + 30));
      await server.kill();
      await server.restart();
      await untilWritable(store, `/round/${round}`);
    }
    running = false;
    await Promise.all(writers);
    const range = await store.range(everything());
    const keys = new Set(range.kvs.map(({ key }) => key.toString()));
    assert.deepEqual(
      [...acknowledged].filter((key) => !keys.has(key)),
      [],
    );
    await until("the watch has it all", async () => Promise.resolve(recorder.events.length >= range.revision - 2));
    const revisions = recorder.events.map(({ kv }) => kv.modRevision);
    assert.deepEqual(
      revisions,
      [...new Set(revisions)].sort((a, b) => a - b),
    );
    const other = await openTestStore(t, server);
    assert.deepEqual(texts(await other.range(everything())), texts(await store.range(everything())));
  });

  test("frozen, is told of once, with the cure, and when it is over", async (t) => {
    const server = await startNats(t);
    const lines: string[] = [];
    const log = createLogger({ level: "info", format: "text", write: (line) => void lines.push(line) });
    const driver = await openNatsDriver({ endpoint: `nats://${server.endpoint}`, log, signal: t.signal });
    t.after(() => driver.close());
    const said = (text: string) => lines.filter((line) => line.includes(text));
    await server.freeze();
    for (let round = 0; round < 2; round++) await assert.rejects(driver.heads(0, 1), ofKind("failed"));
    server.thaw();
    await until("the driver reads again", async () => {
      await driver.heads(0, 1);
      return true;
    });
    assert.equal(said("NATS does not answer").length, 1);
    assert.match(said("NATS does not answer")[0] ?? "", /hint="Look for a NATS server that hangs/);
    assert.equal(said("NATS answers again").length, 1);
  });

  test("frozen, is a failure in bounded time; thawed, writes go on and both servers agree", async (t) => {
    const server = await startNats(t);
    const [store, other] = [await openTestStore(t, server), await openTestStore(t, server)];
    const recorder = new Recorder(other);
    await store.txn(just(put("/a", "1")));
    await server.freeze();
    await assert.rejects(store.txn(just(put("/a", "2"))), isUnavailable);
    server.thaw();
    await untilWritable(store, "/b");
    assert.deepEqual(texts(await other.range(everything())), texts(await store.range(everything())));
    await until("the other server tells the last event", async () =>
      Promise.resolve(recorder.events.at(-1)?.kv.modRevision === store.currentRevision),
    );
    const revisions = recorder.events.map(({ kv }) => kv.modRevision);
    assert.deepEqual(
      revisions,
      Array.from({ length: store.currentRevision - 2 }, (_, i) => i + 3),
    );
  });
});
