import { createHash } from "node:crypto";
import { readdir, readFile, realpath } from "node:fs/promises";
import { join, resolve } from "node:path";
import { ensureDirectory, removeIfExists, writeFileAtomic } from "@k3s/files";
import type { Logger } from "@k3s/log";
import { readBootId, readProcess } from "./proc-table.ts";

/** Where the running children of one supervisor are written down, and whose they are. */
export interface RecordsPlace {
  /** Folder of its own, made with mode 0700; best on a file system that a restart of the machine empties. */
  readonly directory: string;
  /** From {@link ownerOf}: marks the children of this data directory in their environment. */
  readonly owner: string;
}

/** Enough to find a child again after its supervisor is gone, and never to mistake another process for it. */
export interface ChildRecord {
  readonly name: string;
  /** Of the supervisor that wrote it. */
  readonly owner: string;
  readonly pid: number;
  readonly startTicks: string;
  readonly bootId: string;
  readonly file: string;
}

/** The identity under which the children of a data directory are marked; the same for every path that leads there. */
export async function ownerOf(dataDirectory: string): Promise<string> {
  const path = await realpath(dataDirectory).catch(() => resolve(dataDirectory));
  return createHash("sha256").update(path).digest("hex").slice(0, 16);
}

/** Writes down that `child` runs. Does nothing when it has ended already. */
export async function saveRecord(
  place: RecordsPlace,
  child: { readonly name: string; readonly pid: number; readonly file: string },
): Promise<void> {
  const row = await readProcess(child.pid);
  if (row === undefined) return;
  const record: ChildRecord = { ...child, owner: place.owner, startTicks: row.startTicks, bootId: await readBootId() };
  await ensureDirectory(place.directory, 0o700);
  await writeFileAtomic(recordPath(place, child.name), `${JSON.stringify(record)}\n`, { mode: 0o600 });
}

/** Forgets the child of that name; it is fine if it was never written down. */
export async function removeRecord(place: RecordsPlace, name: string): Promise<void> {
  await removeIfExists(recordPath(place, name));
}

/** Every record in the folder, of whatever owner. A file that cannot be understood is removed with a warning: the mark still finds the child. */
export async function loadRecords(place: RecordsPlace, log: Logger): Promise<readonly ChildRecord[]> {
  const records: ChildRecord[] = [];
  for (const name of await listRecordFiles(place.directory)) {
    const path = join(place.directory, name);
    const record = parseRecord(await readFile(path, "utf8"));
    if (record !== undefined) records.push(record);
    else {
      log.warn({ path }, "removing damaged record of a child");
      await removeIfExists(path);
    }
  }
  return records;
}

function recordPath(place: RecordsPlace, name: string): string {
  return join(place.directory, `${name}.json`);
}

async function listRecordFiles(directory: string): Promise<readonly string[]> {
  try {
    return (await readdir(directory)).filter((name) => name.endsWith(".json"));
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return [];
    throw error;
  }
}

function parseRecord(text: string): ChildRecord | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isRecord(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isRecord(value: unknown): value is ChildRecord {
  if (typeof value !== "object" || value === null) return false;
  const { pid, ...texts } = value as Partial<Record<keyof ChildRecord, unknown>>;
  const { name, owner, startTicks, bootId, file } = texts;
  return Number.isSafeInteger(pid) && [name, owner, startTicks, bootId, file].every((text) => typeof text === "string");
}
