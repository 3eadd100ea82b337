import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { startEtcd } from "@k3s/testkit";

/** A datastore under measurement, in a process of its own. */
export interface Target extends AsyncDisposable {
  readonly name: string;
  /** `host:port`. */
  readonly endpoint: string;
  readonly pid: number;
  /** Ends it and starts it again on the same data; resolves with the milliseconds from start to first answer. */
  restart(): Promise<Target>;
  /** Bytes of its files. */
  diskBytes(): Promise<number>;
}

export type TargetName = "sqlite" | "etcd";

/** Starts a datastore on an empty folder. */
export async function startTarget(name: TargetName): Promise<Target> {
  const folder = await mkdtemp(join(tmpdir(), `bench-${name}-`));
  return name === "etcd" ? startPeer(folder) : startOurs(folder);
}

async function startOurs(folder: string): Promise<Target> {
  const child = fork(join(import.meta.dirname, "../store-server.ts"), [folder], {
    execArgv: ["--max-semi-space-size=2"],
  });
  const [endpoint] = (await Promise.race([once(child, "message"), exited(child)])) as [string];
  const stop = async () => {
    const gone = once(child, "exit");
    child.disconnect();
    await gone;
  };
  return {
    name: "sqlite",
    endpoint,
    pid: child.pid ?? 0,
    diskBytes: () => folderBytes(folder),
    restart: async () => {
      await stop();
      return startOurs(folder);
    },
    [Symbol.asyncDispose]: async () => {
      await stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function exited(child: ReturnType<typeof fork>): Promise<never> {
  const [code] = (await once(child, "exit")) as [number | null];
  throw new Error(`Cannot measure the datastore: its process ended with ${code ?? "a signal"}`);
}

async function startPeer(folder: string): Promise<Target> {
  const etcd = await startEtcd(folder, { args: ["--quota-backend-bytes=8589934592"] });
  return {
    name: "etcd",
    endpoint: etcd.endpoint,
    pid: etcd.program.pid,
    diskBytes: () => folderBytes(folder),
    restart: async () => {
      await etcd.program.stop();
      return startPeer(folder);
    },
    [Symbol.asyncDispose]: async () => {
      await etcd.program.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function folderBytes(folder: string): Promise<number> {
  let total = 0;
  for (const entry of await readdir(folder, { recursive: true, withFileTypes: true }))
    if (entry.isFile()) total += (await stat(join(entry.parentPath, entry.name))).size;
  return total;
}

/** Memory of a process in MiB, shared pages counted in part. */
export async function pssMiB(pid: number): Promise<number> {
  const rollup = await readFile(`/proc/${pid}/smaps_rollup`, "utf8");
  return Number(/^Pss:\s+(\d+) kB/m.exec(rollup)?.[1] ?? 0) / 1024;
}
