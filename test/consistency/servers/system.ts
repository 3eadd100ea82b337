import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startEtcd } from "@k3s/testkit";
import { detectTraits } from "../detect-traits.ts";
import { ownTraits, type EndpointTraits } from "../history/endpoint-traits.ts";
import { UnreliableDisk } from "../power-cut/unreliable-disk.ts";
import type { Random } from "../traffic/random.ts";
import type { Targets } from "../traffic/targets.ts";
import { databases, type DatabaseName } from "./database.ts";
import { FaultProxy } from "./fault-proxy.ts";
import { cutConnections, freezeDatabase, killAtFailpoints, killAtRandom, restartDatabase } from "./harm.ts";
import { ServerProcess } from "./server-process.ts";

/** Does some kind of harm so many times, and leaves everything in good health. */
export type Harm = (options: { readonly random: Random; readonly times: number }) => Promise<void>;

/** What can be checked: servers, the database behind them, and the harm that can be done to both. */
export interface System extends AsyncDisposable {
  readonly targets: Targets;
  readonly traits: EndpointTraits;
  readonly harms: Readonly<Record<string, Harm>>;
  /** Throws when a server ended without being killed. */
  assertRunning(): void;
}

export const systemNames = ["sqlite", "mysql", "postgres", "nats", "etcd"] as const;
export type SystemName = (typeof systemNames)[number];

/** Whoever is killed forgets how often keys were changed. */
const killable = { ...ownTraits, versions: "lost-by-restart" } as const;

/** Starts one; `servers` of ours where they can share a database. */
export async function startSystem(name: SystemName, servers = 2): Promise<System> {
  if (name === "sqlite") return startSqlite();
  return name === "etcd" ? startForeign() : startShared(name, servers);
}

async function startSqlite(): Promise<System> {
  await using undo = new AsyncDisposableStack();
  const disk = undo.use(await UnreliableDisk.create({ lies: false }));
  const server = undo.use(new ServerProcess({ folder: disk.folder, environment: disk.environment }));
  await server.start();
  const running = undo.move();
  const servers = [server] as const;
  return {
    ...{ targets: [server.target], traits: killable },
    harms: {
      kill: (options) => killAtRandom({ ...options, servers }),
      failpoints: (options) => killAtFailpoints({ ...options, servers, datastore: "sqlite" }),
      "power-cut": (options) => killAtRandom({ ...options, servers, disk }),
    },
    assertRunning: () => server.assertRunning(),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

async function startShared(name: DatabaseName, count: number): Promise<System> {
  await using undo = new AsyncDisposableStack();
  const folder = await makeFolder(undo);
  const database = undo.use(await databases[name](folder));
  const members = [];
  for (let index = 0; index < count; index++) {
    const way = undo.use(await FaultProxy.start(database.port));
    const endpoint = database.endpoint(way.port);
    const server = undo.use(new ServerProcess({ folder, endpoint, name: `server${index}` }));
    await server.start();
    members.push({ server, way });
  }
  const [first, ...others] = members;
  if (first === undefined) throw new Error("Cannot start: no server is asked for");
  const running = undo.move();
  const servers = [first.server, ...others.map(({ server }) => server)] as const;
  const ways = [first.way, ...others.map(({ way }) => way)] as const;
  return {
    targets: [first.server.target, ...others.map(({ server }) => server.target)],
    traits: {
      ...{ ...killable, servers: count > 1 ? "several" : "one" },
      ...(name === "nats" && { history: "bounded", revisions: "with-holes" }),
    },
    harms: {
      kill: (options) => killAtRandom({ ...options, servers }),
      failpoints: (options) => killAtFailpoints({ ...options, servers, datastore: name }),
      restart: (options) => restartDatabase({ ...options, database }),
      cut: (options) => cutConnections({ ...options, ways }),
      freeze: (options) => freezeDatabase({ ...options, database }),
    },
    assertRunning: () => servers.forEach((server) => server.assertRunning()),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

/** A real etcd: what it does under the same harm is what the checker has to take for right. */
async function startForeign(): Promise<System> {
  await using undo = new AsyncDisposableStack();
  const etcd = await startEtcd(await makeFolder(undo), { program: "etcd-3.5" });
  undo.defer(() => etcd.program.stop());
  const way = undo.use(await FaultProxy.start(Number(etcd.endpoint.split(":")[1])));
  const traits = await detectTraits(etcd.endpoint);
  const running = undo.move();
  const database = {
    kill: () => etcd.program.kill(),
    stop: () => etcd.program.stop(),
    restart: () => etcd.restart(),
    freeze: () => etcd.program.freeze(),
    thaw: () => etcd.program.thaw(),
  };
  return {
    ...{ targets: [`127.0.0.1:${way.port}`], traits: { ...traits, pastInTxns: false } },
    harms: {
      restart: (options) => restartDatabase({ ...options, database }),
      cut: (options) => cutConnections({ ...options, ways: [way] }),
      freeze: (options) => freezeDatabase({ ...options, database }),
    },
    assertRunning: () => undefined,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

async function makeFolder(undo: AsyncDisposableStack): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "k3s-consistency-"));
  undo.defer(() => rm(folder, { recursive: true, force: true }));
  return folder;
}
