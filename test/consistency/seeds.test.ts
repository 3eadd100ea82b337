import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { checkRound, formatFinding, type Target } from "./campaign.ts";
import type { BrokenPromise } from "./check/violation.ts";
import { ownTraits } from "./history/endpoint-traits.ts";
import { UnreliableDisk } from "./power-cut/unreliable-disk.ts";
import { allSeeds } from "./seeds/all-seeds.ts";
import type { DriverSeed } from "./seeds/driver-seeds.ts";
import { killAtRandom } from "./servers/harm.ts";
import { ServerProcess } from "./servers/server-process.ts";
import { startStoreServer } from "./servers/store-server.ts";
import { Random } from "./traffic/random.ts";
import type { RoundOptions } from "./traffic/round.ts";

/** Some bugs show in one round of four: 30 rounds miss such a bug once in 5000 runs. */
const ROUNDS_MAX = 30;
/** A seeded bug may hold events and leases back for ever: no need to wait longer than this. */
const IMPATIENT = { leasePatienceMs: 1500, drainLimitMs: 1500 } as const;

/** Rounds until one breaks one of these promises. */
async function assertFound(
  foundAs: readonly BrokenPromise[],
  target: Target,
  changes: Partial<RoundOptions>,
): Promise<void> {
  const findings: string[] = [];
  for (let seed = 1; seed <= ROUNDS_MAX; seed++) {
    const finding = await checkRound(target, seed, changes);
    if (finding.violations.some(({ promise }) => foundAs.includes(promise))) return;
    if (finding.violations.length > 0) findings.push(formatFinding(finding));
  }
  assert.fail(`not found as ${foundAs.join(" or ")}; instead:\n${findings.join("")}`);
}

describe("checkHistory() finds the seeded bug", () => {
  for (const { name, foundAs, needsShortLeases = false, plant } of allSeeds) {
    test(name, async () => {
      await using server = await startStoreServer((store) => plant(store, new Random(1)));
      const target: Target = { targets: [server.target], traits: ownTraits };
      await assertFound(foundAs, target, { ...IMPATIENT, shortLeases: needsShortLeases });
    });
  }
});

interface CrashSeed {
  readonly name: string;
  readonly foundAs: readonly BrokenPromise[];
  readonly disk: { readonly lies: boolean };
  readonly seed?: DriverSeed;
}

const crashSeeds: readonly CrashSeed[] = [
  {
    name: "a write is acknowledged before it is carried out",
    foundAs: ["linearizable", "header"],
    disk: { lies: false },
    seed: "acknowledged-early",
  },
  {
    name: "a transaction is torn by a crash",
    foundAs: ["linearizable", "watch-agreement", "watch-exact"],
    disk: { lies: false },
    seed: "torn-commit",
  },
  {
    name: "a write is acknowledged before it is durable, and its revision used again",
    foundAs: ["linearizable", "header"],
    disk: { lies: true },
  },
];

async function crashingServer(t: TestContext, { disk: options, seed }: CrashSeed) {
  const disk = await UnreliableDisk.create(options);
  t.after(() => disk[Symbol.asyncDispose]());
  const { folder, environment } = disk;
  const server = new ServerProcess({ folder, environment, ...(seed === undefined ? {} : { seed }) });
  t.after(() => server[Symbol.asyncDispose]());
  await server.start();
  return { disk, server };
}

describe("checkHistory() finds what a crash brings to light", () => {
  for (const crashSeed of crashSeeds) {
    test(crashSeed.name, async (t) => {
      const { disk, server } = await crashingServer(t, crashSeed);
      const random = new Random(1);
      const harm = () =>
        killAtRandom({ servers: [server], random, times: 2, ...(crashSeed.disk.lies ? { disk } : {}) });
      const traits = { ...ownTraits, versions: "lost-by-restart" } as const;
      await assertFound(crashSeed.foundAs, { targets: [server.target], traits }, { drainLimitMs: 3000, harm });
    });
  }
});
