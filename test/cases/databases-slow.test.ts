import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { FaultProxy, modEquals, readAnswer, rangeRequest, txnOp, until } from "@k3s/testkit";
import { endOf, inParallel } from "./support/bulk.ts";
import { CaseClient } from "./support/case-client.ts";
import { DATABASE_SERVERS, databasesForFile } from "./support/databases.ts";
import { ServedDatastore } from "./support/databases-served.ts";
import { Latencies } from "./support/latencies.ts";

const LATE_MS = 300;
const WRITES = 5;
const RIVALS = 8;
const KEYS = 40;
const PREFIX = "/slow/";
const THRESHOLDS = ["--slow-sql-threshold=100ms", "--slow-sql-warning-threshold=200ms"];

/** Where a slow statement is said to have been. */
const PLACES = { MariaDB: "kine", PostgreSQL: "kine", NATS: "the bucket" } as const;

const database = databasesForFile(DATABASE_SERVERS);

/** The same endpoint through a path that can be made late. */
function through(endpoint: string, proxy: FaultProxy): string {
  return endpoint.replace(/127\.0\.0\.1:\d+/, `127.0.0.1:${proxy.port}`);
}

/** Reads one key of the memory of the server, which asks no database. */
async function readFromMemory(client: CaseClient, key: string): Promise<string | undefined> {
  const answer = await client.raw.call("/etcdserverpb.KV/Range", rangeRequest({ key, serializable: true }));
  return readAnswer.range(answer).kvs[0]?.value;
}

/** A transport does not know what is behind it: one database is enough for the second. */
const SERVERS = [
  ...DATABASE_SERVERS.map((name) => ({ name, transport: "http2" })),
  { name: "PostgreSQL", transport: "grpc-js" },
] as const;

describe("hard case 34, DB outage: a database that is only slow", () => {
  for (const { name, transport } of SERVERS) {
    test(`${name} over ${transport}: writes are late and right, reads from memory and the rest of the API are not, and the log tells the cure`, async (t) => {
      const endpoint = database(name).endpoint(`slow_${transport.replace("-", "")}`);
      const proxy = await FaultProxy.start({ target: { port: Number(/127\.0\.0\.1:(\d+)/.exec(endpoint)?.[1]) } });
      t.after(() => proxy.stop());
      const served = await ServedDatastore.start(t, through(endpoint, proxy), {
        args: [...THRESHOLDS, `--datastore-transport=${transport}`],
      });
      const [writer, reader] = [new CaseClient(t, served.target), new CaseClient(t, served.target)];
      await inParallel(KEYS, 8, async (i) => {
        await writer.put({ key: `${PREFIX}${i}`, value: "before" });
      });
      const watch = reader.watch();
      await watch.create({ key: PREFIX, end: endOf(PREFIX) });
      proxy.setPath("toClient", { delayMs: LATE_MS });

      // As long as writes are on the way, memory is read: many reads for each write, however busy the machine is.
      const state = { isDone: false, reads: 0, healths: 0 };
      const reads = new Latencies();
      const reading = async () => {
        for (; !state.isDone; state.reads++)
          assert.equal(await reads.measure(() => readFromMemory(reader, `${PREFIX}${KEYS - 1}`)), "before");
      };
      const asking = async () => {
        for (; !state.isDone; state.healths++) await reader.raw.call("/grpc.health.v1.Health/Check", Buffer.alloc(0));
      };
      const revisions: number[] = [];
      const writing = async () => {
        for (let i = 0; i < WRITES; i++) {
          const startedAt = performance.now();
          revisions.push((await writer.put({ key: `${PREFIX}0`, value: `late ${i}` })).header.revision);
          const tookMs = performance.now() - startedAt;
          assert.ok(tookMs >= LATE_MS * 0.9, `acknowledged after ${tookMs} ms, before the database could answer`);
        }
        state.isDone = true;
      };
      await Promise.all([writing(), reading(), asking()]);
      t.diagnostic(
        `${state.reads} reads and ${state.healths} health checks beside ${WRITES} writes; ${reads.summary()}`,
      );
      assert.ok(state.reads > 3 * WRITES && state.healths > 3 * WRITES, JSON.stringify(state));
      const events = await watch.events(WRITES);
      assert.deepEqual(
        events.map(({ kv }) => [kv?.mod, kv?.value]),
        revisions.map((revision, i) => [revision, `late ${i}`]),
      );

      const mod = (await writer.range({ key: `${PREFIX}0` })).kvs[0]?.mod ?? 0;
      assert.equal(mod, revisions.at(-1), "a linearizable read waits, and sees it");
      const rivals = await Promise.all(
        Array.from({ length: RIVALS }, (_, i) =>
          writer.txn({
            compare: [modEquals(`${PREFIX}0`, mod)],
            success: [txnOp.put({ key: `${PREFIX}0`, value: `rival ${i}` })],
            failure: [txnOp.range({ key: `${PREFIX}0` })],
          }),
        ),
      );
      const winner = rivals.findIndex(({ succeeded }) => succeeded === true);
      assert.equal(rivals.filter(({ succeeded }) => succeeded === true).length, 1);
      for (const { succeeded, responses } of rivals)
        if (succeeded !== true) assert.equal(responses[0]?.kvs[0]?.value, `rival ${winner}`);

      const line = await until("the log warns of a slow commit", () =>
        Promise.resolve(served.log.split("\n").find((text) => text.includes("statement=commit") && /warn/i.test(text))),
      );
      assert.match(
        line,
        new RegExp(
          `slow statement of the datastore.*table="?${PLACES[name]}"?.*cure="each commit waits for the disk: look for a slow disk`,
        ),
      );
      proxy.setPath("toClient", {});
      assert.equal(await served.stop(), 0, served.log);
    });
  }
});
