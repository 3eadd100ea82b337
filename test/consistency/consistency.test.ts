import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { startEtcd } from "@k3s/testkit";
import { checkRound, formatFinding, type Target } from "./campaign.ts";
import { answersProgress, ownTraits } from "./history/endpoint-traits.ts";
import { UnreliableDisk } from "./power-cut/unreliable-disk.ts";
import { killAtFailpoints, killAtRandom, type HarmOptions } from "./servers/harm.ts";
import { ServerProcess } from "./servers/server-process.ts";
import { startStoreServer } from "./servers/store-server.ts";
import { Random } from "./traffic/random.ts";
import type { RoundOptions } from "./traffic/round.ts";
import { Connection } from "./wire/connection.ts";

/** The size of the seeded bugs' runs: what finds those is what nothing may be found by here. */
const ROUNDS = 3;

async function assertKept(target: Target, seed: number, changes: Partial<RoundOptions> = {}): Promise<void> {
  const finding = await checkRound(target, seed, changes);
  assert.ok(finding.violations.length === 0, formatFinding(finding));
}

async function assertAllKept(target: Target): Promise<void> {
  for (let seed = 1; seed <= ROUNDS; seed++) await assertKept(target, seed);
  await assertKept(target, ROUNDS + 1, { shortLeases: true });
}

async function versionOf(target: string): Promise<string> {
  const connection = new Connection(target);
  try {
    return await connection.serverVersion();
  } finally {
    connection.close();
  }
}

test("etcd keeps every promise", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "k3s-consistency-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const etcd = await startEtcd(folder);
  t.after(() => etcd.program.stop());
  const version = await versionOf(etcd.endpoint);
  const traits = { ...ownTraits, revisionStep: "per-txn", answersProgress: answersProgress(version) } as const;
  await assertAllKept({ target: etcd.endpoint, traits });
});

test("our store on SQLite keeps every promise", async () => {
  await using server = await startStoreServer();
  await assertAllKept({ target: server.target, traits: ownTraits });
});

describe("our store on SQLite keeps every promise when its process is killed", () => {
  const traits = { ...ownTraits, versions: "lost-by-restart" } as const;

  async function underHarm(t: TestContext, seed: number, harm: (options: HarmOptions) => Promise<void>): Promise<void> {
    const disk = await UnreliableDisk.create({ lies: false });
    t.after(() => disk[Symbol.asyncDispose]());
    const server = new ServerProcess({ folder: disk.folder, environment: disk.environment });
    t.after(() => server[Symbol.asyncDispose]());
    await server.start();
    const random = new Random(seed);
    await assertKept({ target: server.target, traits }, seed, { harm: () => harm({ server, disk, random, times: 3 }) });
  }

  test("at random moments", (t) =>
    underHarm(t, 1, ({ server, random, times }) => killAtRandom({ server, random, times })));
  test("at failpoints", (t) =>
    underHarm(t, 2, ({ server, random, times }) => killAtFailpoints({ server, random, times })));
  test("together with the power (O4 group commit durability)", (t) => underHarm(t, 3, killAtRandom));
});
