import { mkdir, readFile, readlink, rename, rm, stat, symlink } from "node:fs/promises";
import { basename, join, relative } from "node:path";
import { NodeError } from "@k3s/errors";
import { makeDirectory, writeFileAtomic } from "@k3s/files";
import type { Logger } from "@k3s/log";
import { linkCniPlugins } from "./cni-links.ts";
import { assertUsable, createComponentSet, type ComponentSet } from "./component-set.ts";
import type { ComponentSource } from "./component-source.ts";
import { assertDataVersion, recordDataVersion } from "./data-version.ts";
import { ComponentError } from "./errors.ts";
import { manifestDigest, MANIFEST_NAME, type Manifest } from "./manifest.ts";
import { removeUnusedSets } from "./remove-unused-sets.ts";
import { syncFolder } from "./sync-folder.ts";
import { absentAsUndefined, sameTime } from "./verify.ts";
import { waitForLock } from "./wait-for-lock.ts";

/** What is unpacked, and where to: below `data/` of the data dir. */
export interface UnpackOptions {
  readonly from: ComponentSource;
  readonly dataDir: string;
  /** False for a tool that only wants a program: `current`, the plugins and the record of the version stay those of the node. */
  readonly activate?: boolean;
  /** For a tool: only this program, where the set has it as a file. */
  readonly program?: string | undefined;
  readonly log: Logger;
  readonly onProgress?: (doneBytes: number, totalBytes: number) => void;
  readonly signal?: AbortSignal;
}

const LOCK_WAIT_MS = 10 * 60_000;
const RECORD_NAME = ".unpacked.json";

/**
 * Makes `<data-dir>/data/<digest>/` hold the programs, once per version, and returns them; a few stat calls when they are there.
 * An interrupted or damaged folder is made again. Processes that start at the same time wait for each other. Folders of earlier
 * versions go once nothing runs from them.
 */
export async function unpackComponents(options: UnpackOptions): Promise<ComponentSet> {
  const { from, dataDir, activate = true, program, log } = options;
  const manifest = await usableManifest(from, program);
  const place = placeFor(dataDir, manifest);
  if (activate) await assertDataVersion(dataDir, manifest);
  const isReady = (!activate || (await isCurrent(place))) && (await isComplete(place, manifest));
  if (!isReady) await unpackLocked(options, place, manifest);
  if (activate) await removeUnusedSets(place.data, log);
  return createComponentSet(place.final, manifest, activate ? place.cni : undefined);
}

/** The set, or only a program of it, in the first of the data dirs that holds that complete; changes nothing. */
export async function findUnpacked(
  from: ComponentSource,
  dataDirs: readonly string[],
  program?: string,
): Promise<ComponentSet | undefined> {
  const manifest = await usableManifest(from, program);
  for (const dataDir of dataDirs) {
    const place = placeFor(dataDir, manifest);
    if (await isComplete(place, manifest).catch(() => false)) return createComponentSet(place.final, manifest);
  }
  return undefined;
}

async function usableManifest(from: ComponentSource, program: string | undefined): Promise<Manifest> {
  const manifest = await from.manifest();
  assertUsable(manifest, from.place);
  const file = manifest.files.find(({ path }) => program !== undefined && path === `bin/${program}`);
  return file === undefined ? manifest : { ...manifest, files: [file], links: [] };
}

interface Place {
  readonly data: string;
  readonly final: string;
  readonly temporary: string;
  readonly cni: string;
}

function placeFor(dataDir: string, manifest: Manifest): Place {
  const data = join(dataDir, "data");
  const final = join(data, manifestDigest(manifest));
  return { data, final, temporary: `${final}-tmp`, cni: join(data, "cni") };
}

async function unpackLocked(options: UnpackOptions, place: Place, manifest: Manifest): Promise<void> {
  const { dataDir, activate = true, log, signal } = options;
  try {
    await makeDirectory(place.data, 0o755);
    const onWait = (owner: string) => log.info({ owner }, "waiting for another process to unpack components");
    await using _lock = await waitForLock(join(place.data, ".lock"), { limitMs: LOCK_WAIT_MS, onWait, signal });
    const startedAt = performance.now();
    if (!(await isComplete(place, manifest))) await unpack(options, place, manifest); // else another process was faster
    if (activate) await makeCurrent(dataDir, place, manifest);
    log.info({ path: place.final, durationMs: Math.round(performance.now() - startedAt) }, "components unpacked");
  } catch (error) {
    signal?.throwIfAborted();
    throw error instanceof NodeError ? error : ComponentError.unpack(dataDir, error);
  }
}

async function makeCurrent(dataDir: string, place: Place, manifest: Manifest): Promise<void> {
  await rotateLinks(place);
  await linkCniPlugins({ bin: join(place.final, "bin/cni"), stable: place.cni });
  await recordDataVersion(dataDir, manifest);
}

async function unpack(options: UnpackOptions, place: Place, manifest: Manifest): Promise<void> {
  const { from, onProgress, signal } = options;
  await rm(place.temporary, { recursive: true, force: true });
  await mkdir(place.temporary, { mode: 0o755 });
  try {
    await from.install({ to: place.temporary, manifest, onProgress, signal });
    await writeLists(place.temporary, manifest);
  } catch (error) {
    await rm(place.temporary, { recursive: true, force: true }); // gives the space back, which may be what was missing
    throw error;
  }
  const damaged = `${place.final}-damaged-${Date.now()}`;
  await rename(place.final, damaged).catch(absentAsUndefined); // programs that still run keep their files
  await rename(place.temporary, place.final);
  await syncFolder(place.data);
  await rm(damaged, { recursive: true, force: true });
}

/** The lists that the original product leaves too (checksums and links, relative to `bin`), and the record for isComplete. */
async function writeLists(folder: string, manifest: Manifest): Promise<void> {
  const toBin = (path: string) => relative("/bin", `/${path}`);
  const sums = manifest.files.map((file) => `${file.sha256}  ${toBin(file.path)}\n`).join("");
  const links = manifest.links.map((link) => `${toBin(link.path)} ${link.target}\n`).join("");
  await writeFileAtomic(join(folder, "bin/.sha256sums"), sums, { mode: 0o644 });
  await writeFileAtomic(join(folder, "bin/.links"), links, { mode: 0o644 });
  await writeFileAtomic(join(folder, MANIFEST_NAME), JSON.stringify(manifest), { mode: 0o644 });
  const record: UnpackRecord = await Promise.all(
    manifest.files.map(async ({ path, size }) => ({ path, size, mtimeMs: (await stat(join(folder, path))).mtimeMs })),
  );
  await writeFileAtomic(join(folder, RECORD_NAME), JSON.stringify(record), { mode: 0o644 });
}

type UnpackRecord = readonly { readonly path: string; readonly size: number; readonly mtimeMs: number }[];

async function isCurrent({ data, final }: Place): Promise<boolean> {
  return (await readlink(join(data, "current")).catch(absentAsUndefined)) === final;
}

/** True when every file has the size and time it was unpacked with, and every link its target. */
async function isComplete(place: Place, manifest: Manifest): Promise<boolean> {
  const text = await readFile(join(place.final, RECORD_NAME), "utf8").catch(absentAsUndefined);
  if (text === undefined) return false;
  const record = parseRecord(text);
  if (record === undefined || record.length !== manifest.files.length) return false;
  const files = record.map(async ({ path, size, mtimeMs }) => {
    const found = await stat(join(place.final, path)).catch(absentAsUndefined);
    return found?.size === size && sameTime(found.mtimeMs, mtimeMs);
  });
  const links = manifest.links.map(
    async ({ path, target }) => (await readlink(join(place.final, path)).catch(() => undefined)) === target,
  );
  return (await Promise.all([...files, ...links])).every(Boolean);
}

function parseRecord(text: string): UnpackRecord | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) ? (value as UnpackRecord) : undefined; // written whole by writeLists, or not at all
  } catch {
    return undefined;
  }
}

/** `current` names the folder in use, `previous` the one before it. */
async function rotateLinks({ data, final }: Place): Promise<void> {
  const current = join(data, "current");
  const before = await readlink(current).catch(absentAsUndefined);
  if (before === final) return;
  if (before !== undefined && basename(before) !== basename(final)) await replaceLink(join(data, "previous"), before);
  await replaceLink(current, final);
}

async function replaceLink(path: string, target: string): Promise<void> {
  const temporary = `${path}.tmp-${process.pid}`;
  await rm(temporary, { force: true });
  await symlink(target, temporary);
  await rename(temporary, path);
}
