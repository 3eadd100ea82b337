import { sleep } from "@k3s/async";
import type { UnreliableDisk } from "../power-cut/unreliable-disk.ts";
import type { Random } from "../traffic/random.ts";
import type { ServerProcess } from "./server-process.ts";

const LIFE_MIN_MS = 100;
const LIFE_SPREAD_MS = 400;
const FAILPOINT_LIMIT_MS = 1000;
const START_ATTEMPTS = 5;

const FAILPOINTS = [
  "commit.before",
  "commit.durable",
  "commit.published",
  "compact.marked",
  "compact.slice",
  "lease.expire",
  "sqlite.rows",
  "sqlite.committed",
  "sqlite.pruned",
  "sqlite.checkpoint",
] as const;

export interface HarmOptions {
  readonly server: ServerProcess;
  readonly random: Random;
  /** How often the process dies. */
  readonly times: number;
  /** Present: power goes with the process. */
  readonly disk?: UnreliableDisk;
}

/** Kills the server at random moments and starts it again on what is left. */
export async function killAtRandom({ server, random, times, disk }: HarmOptions): Promise<void> {
  for (let time = 0; time < times; time++) {
    await sleep(LIFE_MIN_MS + random.below(LIFE_SPREAD_MS));
    await server.end(0);
    await disk?.cut(random);
    await server.start();
  }
  await sleep(LIFE_MIN_MS);
}

/** Starts the server with one failpoint armed after the other, and leaves it in good health. */
export async function killAtFailpoints({ server, random, times, disk }: HarmOptions): Promise<void> {
  for (let time = 0; time < times; time++) {
    await server.end(time === 0 ? LIFE_MIN_MS : FAILPOINT_LIMIT_MS);
    await disk?.cut(random);
    await server.start({ [random.pick(FAILPOINTS)]: { kind: "crash", atHit: 1 + random.below(40) } });
  }
  await server.end(FAILPOINT_LIMIT_MS);
  await disk?.cut(random);
  for (let attempt = 0; attempt < START_ATTEMPTS && server.killed; attempt++) await server.start();
  await sleep(LIFE_MIN_MS);
}
