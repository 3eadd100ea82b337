import { mkdir, mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startEtcd } from "@k3s/testkit";
import { pssMiB, treePssMiB } from "../process-usage.ts";
import { Child } from "./child.ts";
import { startDatabase, type Database, type DatabaseName } from "./databases.ts";

/** Argument of bench/store-server.ts, as JSON. */
export interface StoreServerOptions {
  /** As `--datastore-endpoint`; undefined: nothing is stored. */
  readonly endpoint: string | undefined;
  readonly folder: string;
  readonly transport?: "http2" | "grpc-js" | undefined;
}

/** A datastore under measurement, in processes of its own. */
export interface Target extends AsyncDisposable {
  readonly name: TargetName;
  /** `host:port`; another one after each restart. */
  readonly endpoint: string;
  readonly pid: number;
  /** Ends it and starts it again on the same data; resolves when it takes connections. A database behind it goes on. */
  restart(): Promise<void>;
  /** Bytes of all files, those of a database behind it included. */
  diskBytes(): Promise<number>;
  /** Memory of the process that serves etcd's API. */
  pssMiB(): Promise<number>;
  /** Memory of the database server behind it; undefined where there is none. */
  databasePssMiB(): Promise<number | undefined>;
  /** How long its main thread was blocked at most since the last call; undefined where there is no such thing. */
  longestBlock(): Promise<LongestBlock | undefined>;
}

/** `unstored`: our server without a datastore, which shows what the load itself allows. */
export type TargetName = "sqlite" | DatabaseName | "etcd" | "unstored";

/** What a run is asked for. */
export const TARGET_NAMES: readonly TargetName[] = ["sqlite", "mariadb", "postgres", "nats", "etcd"];

/** Time in which a thread did nothing else, of one turn of its event loop, in ms. */
export interface LongestBlock {
  /** By the clock: with what the operating system took away for other threads. */
  readonly ms: number;
  /** Of the processor, for the thread itself. */
  readonly processorMs: number;
}

export interface TargetOptions extends Pick<StoreServerOptions, "transport"> {
  /** Our server, as {@link bundleServer} made it. */
  readonly server: string;
}

/** Starts a datastore on an empty folder. */
export async function startTarget(name: TargetName, { server, ...options }: TargetOptions): Promise<Target> {
  await using undo = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), `bench-${name}-`));
  undo.defer(() => rm(folder, { recursive: true, force: true }));
  if (name === "etcd") return await startPeer(folder, undo.move());
  const database = name === "sqlite" || name === "unstored" ? undefined : await openDatabase(name, folder, undo);
  const endpoint = name === "unstored" ? undefined : (database?.endpoint ?? "");
  const parts = { endpoint, folder, ...options };
  return await startOurs({ name, server, database, parts, undo: undo.move() });
}

/** Starts a database on an empty folder; it and the folder go with `undo`. */
export async function openDatabase(name: DatabaseName, folder: string, undo: AsyncDisposableStack): Promise<Database> {
  const data = join(folder, "database");
  await mkdir(data);
  return undo.use(await startDatabase[name](data));
}

/** One of our servers; several may use one database. */
export function startStore(server: string, options: StoreServerOptions): Promise<Child> {
  return Child.start({
    file: server,
    argument: JSON.stringify(options),
    // as build/src/launcher.c starts the product
    execArgv: ["--max-semi-space-size=8", "--heap-growing-percent=25", "--no-warnings"],
    environment: { MALLOC_ARENA_MAX: "1", MALLOC_TRIM_THRESHOLD_: "131072" },
  });
}

interface OursParts {
  readonly name: TargetName;
  readonly server: string;
  readonly database: Database | undefined;
  readonly parts: StoreServerOptions;
  readonly undo: AsyncDisposableStack;
}

async function startOurs({ name, server, database, parts, undo }: OursParts): Promise<Target> {
  await using failed = new AsyncDisposableStack();
  failed.use(undo);
  let child = await startStore(server, parts);
  undo.defer(() => child[Symbol.asyncDispose]());
  failed.move();
  return {
    name,
    get endpoint() {
      return child.greeting;
    },
    get pid() {
      return child.pid;
    },
    diskBytes: () => folderBytes(parts.folder),
    pssMiB: () => pssMiB(child.pid),
    databasePssMiB: async () => (database === undefined ? undefined : treePssMiB(database.pid)),
    longestBlock: () => child.ask<LongestBlock>({}),
    restart: async () => {
      await child[Symbol.asyncDispose]();
      child = await startStore(server, parts);
    },
    [Symbol.asyncDispose]: () => undo.disposeAsync(),
  };
}

async function startPeer(folder: string, undo: AsyncDisposableStack): Promise<Target> {
  const start = () => startEtcd(folder, { args: ["--quota-backend-bytes=8589934592"] });
  await using failed = new AsyncDisposableStack();
  failed.use(undo);
  let etcd = await start();
  undo.defer(() => etcd.program.stop());
  failed.move();
  return {
    name: "etcd",
    get endpoint() {
      return etcd.endpoint;
    },
    get pid() {
      return etcd.program.pid;
    },
    diskBytes: () => folderBytes(folder),
    pssMiB: () => pssMiB(etcd.program.pid),
    databasePssMiB: () => Promise.resolve(undefined),
    longestBlock: () => Promise.resolve(undefined),
    restart: async () => {
      await etcd.program.stop();
      etcd = await start();
    },
    [Symbol.asyncDispose]: () => undo.disposeAsync(),
  };
}

async function folderBytes(folder: string): Promise<number> {
  let total = 0;
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true }))
    if (entry.isFile()) total += (await stat(join(entry.parentPath, entry.name)).catch(() => undefined))?.size ?? 0;
  return total;
}
