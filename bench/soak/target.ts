import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { KubeApiserver, startEtcd } from "@k3s/testkit";

/** A datastore under load: a kube-apiserver in front of it, and what can be measured of it. */
export interface Target extends AsyncDisposable {
  readonly name: string;
  readonly kube: KubeApiserver;
  footprint(): Promise<Footprint>;
}

export interface Footprint {
  readonly databaseBytes: number;
  readonly logBytes: number;
  /** Rows of the table; undefined where there is none. */
  readonly rows: number | undefined;
  readonly rssBytes: number;
  readonly pssBytes: number;
}

interface Datastore {
  readonly pid: number;
  readonly etcdServers: string;
  readonly storage: () => Promise<Omit<Footprint, "rssBytes" | "pssBytes">>;
}

export type TargetName = "k3s" | "etcd";

/** Starts one datastore and a kube-apiserver on it, in a temporary folder that goes with them. */
export async function startTarget(name: TargetName, apiserverArgs: readonly string[]): Promise<Target> {
  await using undo = new AsyncDisposableStack();
  const folder = await mkdtemp(join(tmpdir(), `k3s-soak-${name}-`));
  undo.defer(() => rm(folder, { recursive: true, force: true }));
  const store = name === "etcd" ? await startPeer(folder, undo) : await startOurs(folder, undo);
  const kube = await KubeApiserver.start({ folder, etcdServers: store.etcdServers, args: apiserverArgs });
  undo.defer(() => kube.stop());
  const running = undo.move();
  return {
    name,
    kube,
    footprint: async () => ({ ...(await store.storage()), ...(await memoryOf(store.pid)) }),
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  };
}

async function startOurs(folder: string, undo: AsyncDisposableStack): Promise<Datastore> {
  const child = fork(new URL("../store-server.ts", import.meta.url), [folder]);
  undo.defer(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exited = once(child, "exit");
    child.disconnect();
    await exited;
  });
  await once(child, "message");
  const file = join(folder, "state.db");
  const storage = async () => ({
    databaseBytes: await sizeOf(file),
    logBytes: await sizeOf(`${file}-wal`),
    rows: countRows(file),
  });
  return { pid: child.pid ?? 0, etcdServers: "unix://kine.sock", storage };
}

async function startPeer(folder: string, undo: AsyncDisposableStack): Promise<Datastore> {
  await mkdir(join(folder, "peer"));
  const etcd = await startEtcd(join(folder, "peer"));
  undo.defer(() => etcd.program.stop());
  const storage = async () => ({
    databaseBytes: await sizeOf(join(etcd.dataDir, "member/snap/db")),
    logBytes: await sizeOfFolder(join(etcd.dataDir, "member/wal")),
    rows: undefined,
  });
  return { pid: etcd.program.pid, etcdServers: `http://${etcd.endpoint}`, storage };
}

function countRows(file: string): number {
  using database = new DatabaseSync(file, { readOnly: true });
  const row = database.prepare("SELECT count(*) AS n FROM kine").get();
  return Number(row?.["n"]);
}

async function memoryOf(pid: number): Promise<Pick<Footprint, "rssBytes" | "pssBytes">> {
  const text = await readFile(`/proc/${pid}/smaps_rollup`, "utf8");
  const bytes = (key: string) => Number(new RegExp(`^${key}:\\s+(\\d+) kB$`, "m").exec(text)?.[1]) * 1024;
  return { rssBytes: bytes("Rss"), pssBytes: bytes("Pss") };
}

async function sizeOf(path: string): Promise<number> {
  const { size } = await stat(path);
  return size;
}

async function sizeOfFolder(path: string): Promise<number> {
  const sizes = await Promise.all((await readdir(path)).map((name) => sizeOf(join(path, name))));
  return sizes.reduce((sum, size) => sum + size, 0);
}
