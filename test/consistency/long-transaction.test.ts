import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { until } from "@k3s/testkit";
import { databases, type DatabaseName } from "./servers/database.ts";
import { ServerProcess } from "./servers/server-process.ts";
import { Connection } from "./wire/connection.ts";

/** More than a database is told at once, whichever it is. */
const KEYS = 1200;
const KEYS_AT_ONCE = 100;
const ALL = { key: "/long/", end: "/long0" } as const;

const KILL_POINTS: readonly (readonly [DatabaseName, string])[] = [
  ["mysql", "mysql.written"],
  ["postgres", "postgres.written"],
  ["nats", "nats.part"],
];

interface Member {
  readonly server: ServerProcess;
  readonly client: Connection;
}

/** Two servers on one database that nobody else uses, gone after the test. */
async function startTwo(t: TestContext, name: DatabaseName): Promise<readonly [Member, Member]> {
  const undo = new AsyncDisposableStack();
  t.after(() => undo.disposeAsync());
  const folder = await mkdtemp(join(tmpdir(), "k3s-long-"));
  undo.defer(() => rm(folder, { recursive: true, force: true }));
  const database = undo.use(await databases[name](folder));
  const start = async (member: string): Promise<Member> => {
    const server = undo.use(new ServerProcess({ folder, endpoint: database.endpoint(database.port), name: member }));
    await server.start();
    const client = new Connection(server.target);
    undo.defer(() => client.close());
    return { server, client };
  };
  return [await start("first"), await start("second")];
}

async function createKeys(client: Connection): Promise<void> {
  for (let at = 0; at < KEYS; at += KEYS_AT_ONCE) {
    const keys = Array.from({ length: KEYS_AT_ONCE }, (_, i) => `/long/${String(at + i).padStart(4, "0")}`);
    const success = keys.map((key) => ({ kind: "put", key, value: key }) as const);
    const outcome = await client.perform({ kind: "txn", compare: [], success, failure: [] });
    assert.equal(outcome.kind, "ok", JSON.stringify(outcome));
  }
}

/** How many of the keys a server sees. */
async function count(client: Connection): Promise<number> {
  const outcome = await client.perform({ ...ALL, kind: "range" });
  assert.ok(outcome.kind === "ok" && outcome.response.kind === "range", JSON.stringify(outcome));
  return outcome.response.count;
}

describe("a server that is killed in the middle of a long transaction", () => {
  for (const [name, point] of KILL_POINTS)
    test(`leaves nothing of it on ${name}, and the other one goes on`, async (t) => {
      const [first, second] = await startTwo(t, name);
      await createKeys(first.client);
      await first.server.end(0);
      await first.server.start({ [point]: { kind: "crash", atHit: 1 } });

      const outcome = await first.client.perform({ ...ALL, kind: "delete" });
      assert.equal(outcome.kind, "unknown", JSON.stringify(outcome));
      await until("the server is gone", () => Promise.resolve(first.server.killed));
      assert.equal(await count(second.client), KEYS);

      const put = await second.client.perform({ kind: "put", key: "/long/0000", value: "again" });
      assert.equal(put.kind, "ok", JSON.stringify(put));
      await first.server.start();
      assert.deepEqual([await count(first.client), await count(second.client)], [KEYS, KEYS]);
      const gone = await first.client.perform({ ...ALL, kind: "delete" });
      assert.ok(gone.kind === "ok" && gone.response.kind === "delete", JSON.stringify(gone));
      assert.deepEqual([gone.response.deleted, await count(second.client)], [KEYS, 0]);
    });
});
