import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { until } from "@k3s/testkit";
import { Random } from "../consistency/traffic/random.ts";
import type { Connection } from "../consistency/wire/connection.ts";
import { DATABASES, databasesForFile } from "./support/databases.ts";
import { isFullScale } from "./support/databases-scale.ts";
import { ServedDatastore } from "./support/databases-served.ts";
import { Follower, list, write } from "./support/databases-wire.ts";

const ROUNDS = isFullScale ? 100 : 3;
const WRITERS = 64;
const CONNECTIONS = 16;
/** Acknowledged writes after which the server dies. */
const LIFE = { min: 80, spread: 300 } as const;

const database = databasesForFile(DATABASES);

/** Creates keys of its own, one after the other, until an answer fails to come. */
async function writeUntilFailure(
  connection: Connection,
  prefix: string,
  acknowledged: Map<string, number>,
): Promise<void> {
  for (let i = 0; ; i++) {
    const key = `${prefix}/${i}`;
    const outcome = await connection.perform(write(key, 0, key));
    if (outcome.kind === "unknown") return;
    assert.equal(outcome.kind, "ok", JSON.stringify(outcome));
    if (outcome.kind !== "ok" || outcome.response.kind !== "txn") return;
    assert.equal(outcome.response.succeeded, true, key);
    acknowledged.set(key, outcome.response.revision);
  }
}

for (const [seed, name] of DATABASES.entries()) {
  describe(`hard case 33, SIGKILL durability: ${name}`, () => {
    test(`O4 group commit durability: ${name} has every acknowledged write of ${WRITERS} writers after SIGKILL, ${ROUNDS} times over`, async (t) => {
      const random = new Random(seed);
      const served = await ServedDatastore.start(t, database(name).endpoint("killed"));
      const acknowledged = new Map<string, number>();
      for (let round = 0; round < ROUNDS; round++) {
        const goal = acknowledged.size + LIFE.min + random.below(LIFE.spread);
        const connections = Array.from({ length: CONNECTIONS }, () => served.connect(t));
        const writers = Array.from({ length: WRITERS }, async (_, writer) => {
          const connection = connections[writer % CONNECTIONS] ?? assert.fail();
          await writeUntilFailure(connection, `/kill/${round}/${writer}`, acknowledged);
        });
        const done = Promise.all(writers);
        await Promise.race([until("enough is acknowledged", () => Promise.resolve(acknowledged.size >= goal)), done]);
        await served.kill();
        await done;
        for (const connection of connections) connection.close();
        await served.restart();

        const connection = served.connect(t);
        const { kvs, revision } = await list(connection, { key: "/kill/", end: "/kill0" });
        const stored = new Map(kvs.map(({ key, mod }) => [key, mod]));
        for (const [key, mod] of acknowledged) assert.equal(stored.get(key), mod, `${key} in round ${round}`);
        assert.ok(revision >= Math.max(...acknowledged.values()));
        for (const { key, create, mod, value } of kvs) assert.deepEqual([create, value], [mod, key]);
        connection.close();
      }
      const follower = Follower.start(t, { target: served.target });
      const { kvs } = await list(served.connect(t), { key: "/kill/", end: "/kill0" });
      const inOrder = kvs.toSorted((a, b) => a.mod - b.mod);
      await follower.reached(inOrder.at(-1)?.mod ?? 0);
      const told = follower.events.filter(({ kv }) => kv.key.startsWith("/kill/"));
      assert.deepEqual(
        told.map(({ type, kv }) => `${type} ${kv.key}@${kv.mod}`),
        inOrder.map(({ key, mod }) => `put ${key}@${mod}`),
      );
      assert.ok(kvs.length >= acknowledged.size);
    });
  });
}
