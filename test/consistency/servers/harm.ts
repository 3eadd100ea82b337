import { sleep } from "@k3s/async";
import type { UnreliableDisk } from "../power-cut/unreliable-disk.ts";
import type { Random } from "../traffic/random.ts";
import type { Database, DatabaseName } from "./database.ts";
import type { FaultProxy } from "./fault-proxy.ts";
import type { ServerProcess } from "./server-process.ts";

const LIFE_MIN_MS = 100;
const LIFE_SPREAD_MS = 400;
const FAILPOINT_LIMIT_MS = 2000;
const START_ATTEMPTS = 5;
/** How long a database stays away, or frozen. */
const AWAY_SPREAD_MS = 1500;
/** Cuts come in quick succession: the next one may meet what the last one set going. */
const CUTS_EACH_TIME = 3;
const CUT_SPREAD_MS = 200;

/** A point in our server, and how often it is passed at most before it kills: no more than the traffic does in the life of a server. */
interface KillPoint {
  readonly name: string;
  readonly passes: number;
}

const OFTEN = 20;
const SELDOM = 1;

type KillPoints = readonly [KillPoint, ...KillPoint[]];

function points(passes: number, first: string, ...more: readonly string[]): KillPoints {
  return [{ name: first, passes }, ...more.map((name) => ({ name, passes }))];
}

const ENGINE = [
  ...points(OFTEN, "commit.before", "commit.durable", "commit.published"),
  ...points(SELDOM, "compact.marked", "compact.slice", "lease.expire"),
] as const;
const SQL = [...points(OFTEN, "sql.sent", "sql.committed"), ...points(SELDOM, "sql.locked")];

/** By the database behind the server. What only a long transaction passes is not among them. */
const KILL_POINTS: Readonly<Record<"sqlite" | DatabaseName, KillPoints>> = {
  sqlite: [...ENGINE, ...points(OFTEN, "sqlite.rows", "sqlite.committed", "sqlite.pruned", "sqlite.checkpoint")],
  mysql: [...ENGINE, ...SQL],
  postgres: [...ENGINE, ...SQL, ...points(SELDOM, "postgres.written")],
  nats: [
    ...ENGINE,
    ...points(SELDOM, "nats.claimed", "nats.ending", "nats.purged"),
    ...points(OFTEN, "nats.rows", "nats.leases"),
  ],
};

export interface HarmOptions {
  /** On one database, if there are several. */
  readonly servers: readonly [ServerProcess, ...ServerProcess[]];
  readonly random: Random;
  /** How often harm is done. */
  readonly times: number;
  /** Present: power goes with the process. */
  readonly disk?: UnreliableDisk;
}

/** Kills a server at random moments and starts it again on what is left. */
export async function killAtRandom({ servers, random, times, disk }: HarmOptions): Promise<void> {
  for (let time = 0; time < times; time++) {
    await sleep(LIFE_MIN_MS + random.below(LIFE_SPREAD_MS));
    const server = random.pick(servers);
    await server.end(0);
    await disk?.cut(random);
    await server.start();
  }
  await sleep(LIFE_MIN_MS);
}

/** Starts the first server with one failpoint armed after the other, and leaves it in good health. */
export async function killAtFailpoints(
  options: HarmOptions & { readonly datastore: keyof typeof KILL_POINTS },
): Promise<void> {
  const { servers, random, times, disk, datastore } = options;
  const [server] = servers;
  for (let time = 0; time < times; time++) {
    await server.end(time === 0 ? LIFE_MIN_MS : FAILPOINT_LIMIT_MS);
    await disk?.cut(random);
    const { name, passes } = random.pick(KILL_POINTS[datastore]);
    await server.start({ [name]: { kind: "crash", atHit: 1 + random.below(passes) } });
  }
  await server.end(FAILPOINT_LIMIT_MS);
  await disk?.cut(random);
  for (let attempt = 0; attempt < START_ATTEMPTS && server.killed; attempt++) await server.start();
  await sleep(LIFE_MIN_MS);
}

interface DatabaseHarm {
  readonly database: Pick<Database, "kill" | "stop" | "restart" | "freeze" | "thaw">;
  readonly random: Random;
  readonly times: number;
}

/** Kills the database, or ends it, and starts it again a little later. */
export async function restartDatabase({ database, random, times }: DatabaseHarm): Promise<void> {
  for (let time = 0; time < times; time++) {
    await sleep(LIFE_MIN_MS + random.below(LIFE_SPREAD_MS));
    await (random.chance(0.7) ? database.kill() : database.stop());
    await sleep(random.below(AWAY_SPREAD_MS));
    await database.restart();
  }
  await sleep(LIFE_SPREAD_MS);
}

/** Lets the database stand still, with all its connections open. */
export async function freezeDatabase({ database, random, times }: DatabaseHarm): Promise<void> {
  for (let time = 0; time < times; time++) {
    await sleep(LIFE_MIN_MS + random.below(LIFE_SPREAD_MS));
    await database.freeze();
    await sleep(LIFE_MIN_MS + random.below(AWAY_SPREAD_MS));
    await database.thaw();
  }
  await sleep(LIFE_SPREAD_MS);
}

/** Cuts all connections on one of the ways to the database. */
export async function cutConnections(options: {
  readonly ways: readonly [FaultProxy, ...FaultProxy[]];
  readonly random: Random;
  readonly times: number;
}): Promise<void> {
  const { ways, random, times } = options;
  for (let cut = 0; cut < times * CUTS_EACH_TIME; cut++) {
    await sleep(random.below(CUT_SPREAD_MS));
    random.pick(ways).cut();
  }
  await sleep(LIFE_SPREAD_MS);
}
