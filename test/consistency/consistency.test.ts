import assert from "node:assert/strict";
import { test } from "node:test";
import { checkRound, formatFinding, type Target } from "./campaign.ts";
import { ownTraits } from "./history/endpoint-traits.ts";
import { startStoreServer } from "./servers/store-server.ts";
import { startSystem, type SystemName } from "./servers/system.ts";
import { Random } from "./traffic/random.ts";
import type { RoundOptions } from "./traffic/round.ts";

/** The size of the seeded bugs' runs: what finds those is what nothing may be found by here. */
const ROUNDS = 3;
const HARMS_PER_ROUND = 2;
/** Half of the usual traffic: many kinds of harm, each for a moment. */
const SMALL = { kubernetesClients: 3, etcdClients: 3, watchers: 4, stepsPerClient: 30 } as const;

async function assertKept(target: Target, seed: number, changes: Partial<RoundOptions> = {}): Promise<void> {
  const finding = await checkRound(target, seed, changes);
  assert.ok(finding.violations.length === 0, formatFinding(finding));
}

test("our store on SQLite keeps every promise", async () => {
  await using server = await startStoreServer();
  const target: Target = { targets: [server.target], traits: ownTraits };
  for (let seed = 1; seed <= ROUNDS; seed++) await assertKept(target, seed);
  await assertKept(target, ROUNDS + 1, { shortLeases: true });
});

const systems: readonly { readonly name: SystemName; readonly title: string }[] = [
  { name: "etcd", title: "etcd keeps every promise, whatever is done to it" },
  { name: "sqlite", title: "our store on SQLite keeps every promise when its process is killed" },
  { name: "mysql", title: "two of our servers on MariaDB keep every promise, whatever is done to them or to it" },
  { name: "postgres", title: "two of our servers on PostgreSQL keep every promise, whatever is done to them or to it" },
  { name: "nats", title: "two of our servers on NATS keep every promise, whatever is done to them or to it" },
];

for (const { name, title } of systems) {
  test(title, async () => {
    await using system = await startSystem(name);
    const target: Target = { targets: system.targets, traits: system.traits };
    await assertKept(target, 1, SMALL);
    await assertKept(target, 2, { ...SMALL, shortLeases: true });
    for (const [index, harm] of Object.values(system.harms).entries()) {
      const random = new Random(index);
      await assertKept(target, 3 + index, { ...SMALL, harm: () => harm({ random, times: HARMS_PER_ROUND }) });
      system.assertRunning();
    }
  });
}
