import { chmod, copyFile, mkdir, readdir, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { makeDirectory } from "@k3s/files";
import { findChecksum } from "./checksum-list.ts";
import type { Architecture } from "./architecture.ts";
import { createSet } from "./create-set.ts";
import { download, fetchText, type DownloadPolicy } from "./download.ts";
import { ComponentError } from "./errors.ts";
import { LockFile } from "./lock-file.ts";
import { stagePause } from "./pause-image.ts";
import { upstreamFiles, type Placement, type Release, type UpstreamFile } from "./releases.ts";
import { runCommand } from "./run-command.ts";
import type { SourceContext } from "./source-context.ts";

export interface UpstreamOptions {
  readonly release: Release;
  readonly architecture: Architecture;
  /** Replaces `https://` of every address, so that a mirror keeps one folder for each host. */
  readonly mirror?: string | undefined;
  /** Replaces `https://` of the publishers' checksum lists, which never come from `mirror`. Default: the publishers. */
  readonly publishers?: string | undefined;
  /** Path of components.lock.json. */
  readonly lockFile: string;
  readonly policy: DownloadPolicy;
}

/** Fills the empty folder `staging` with the publishers' files of a release and makes a component folder of it. */
export async function stageUpstream(staging: string, options: UpstreamOptions, context: SourceContext): Promise<void> {
  const lock = await LockFile.open(options.lockFile);
  const files = upstreamFiles(options.release, options.architecture);
  for (const file of files) {
    const stored = await fetchFile(file, { lock, options, context });
    await place(file, stored, { staging, context });
  }
  await stagePause(staging, context);
  const origins = new Map(files.flatMap((file) => file.placements.map(({ path }) => [path, file] as const)));
  await createSet({
    folder: staging,
    cniVersion: options.release.cni,
    originOf: (path) => {
      const file = origins.get(path) ?? origins.get(dirname(path));
      return file === undefined ? { source: "built here" } : { source: file.url, version: file.version };
    },
  });
}

interface Fetching {
  readonly lock: LockFile;
  readonly options: UpstreamOptions;
  readonly context: SourceContext;
}

/** Downloads one file and returns where it is stored. The lock file's checksum is enough; without one the publisher is asked. */
async function fetchFile(file: UpstreamFile, fetching: Fetching): Promise<string> {
  const { options, context } = fetching;
  const { pathname, host } = new URL(file.url);
  const path = join(context.cacheDir, "upstream", host, pathname);
  const step = `Download ${file.program} ${file.version}`;
  context.progress({ step });
  const onRetry = (reason: string) => context.progress({ step, note: reason });
  const common = { policy: options.policy, onRetry, signal: context.signal };
  const sha256 = await expectedChecksum(file, fetching, common);
  await download({
    ...common,
    url: mirrored(file.url, options.mirror),
    path,
    sha256,
    onProgress: (done, total) =>
      context.progress({ step, done, unit: "bytes", ...(total === undefined ? {} : { total }) }),
  });
  context.progress({ step, finished: true });
  return path;
}

async function expectedChecksum(
  file: UpstreamFile,
  { lock, options }: Fetching,
  common: Omit<Parameters<typeof fetchText>[0], "url">,
): Promise<string> {
  const recorded = lock.get(file.url);
  if (recorded !== undefined) return recorded;
  // A mirror that named the checksums of its own files could name any.
  const url = mirrored(file.checksumUrl, options.publishers);
  const list = await fetchText({ ...common, url }).catch((error: unknown) => {
    common.signal?.throwIfAborted();
    if (options.mirror === undefined) throw error;
    const command = `node build/src/components.ts --source upstream --kubernetes ${options.release.kubernetes} --out DIR`;
    throw ComponentError.notRecorded({ url: file.url, command, cause: error });
  });
  const published = findChecksum(list, basename(new URL(file.url).pathname));
  if (published === undefined)
    throw ComponentError.download(file.checksumUrl, new Error(`it has no SHA-256 of ${file.program}`));
  await lock.record(file.url, published);
  return published;
}

function mirrored(url: string, mirror: string | undefined): string {
  return mirror === undefined ? url : `${mirror.replace(/\/+$/, "")}/${url.replace(/^https:\/\//, "")}`;
}

interface Placing {
  readonly staging: string;
  readonly context: SourceContext;
}

async function place(file: UpstreamFile, stored: string, { staging, context }: Placing): Promise<void> {
  const unpacked = join(staging, "unpacked.tmp");
  try {
    if (file.placements.some((placement) => placement.member !== undefined)) {
      await mkdir(unpacked);
      const argv = ["tar", "-xzf", stored, "-C", unpacked, "--no-same-owner"] as const;
      await runCommand(argv, { purpose: `unpack "${stored}"`, env: context.environment, signal: context.signal });
    }
    for (const placement of file.placements) await placeOne(placement, { stored, unpacked, staging });
  } finally {
    await rm(unpacked, { recursive: true, force: true });
  }
}

interface PlaceFolders {
  readonly stored: string;
  readonly unpacked: string;
  readonly staging: string;
}

async function placeOne({ member, path }: Placement, { stored, unpacked, staging }: PlaceFolders): Promise<void> {
  const target = join(staging, path);
  if (member === undefined) await copyProgram(stored, target);
  else if (!member.endsWith("/")) await copyProgram(join(unpacked, member), target);
  else await copyPrograms(join(unpacked, member), target);
}

async function copyPrograms(from: string, to: string): Promise<void> {
  for (const name of await readdir(from)) {
    const { mode } = await stat(join(from, name));
    if ((mode & 0o111) !== 0) await copyProgram(join(from, name), join(to, name));
  }
}

async function copyProgram(from: string, to: string): Promise<void> {
  await makeDirectory(dirname(to));
  await copyFile(from, to);
  await chmod(to, 0o755);
}
