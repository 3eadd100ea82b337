import { createHash } from "node:crypto";
import { access, copyFile, mkdir, readdir, readFile, rename, rm, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { readGoVersion, type Manifest, type Progress } from "@k3s/components";
import { appendPayload, compressBlock, type BlockMember, type PackedBlock } from "@k3s/payload";

export interface PackOptions {
  /** The program without upstream programs. */
  readonly program: string;
  /** A component folder and its list. Undefined: the file has no upstream programs. */
  readonly upstream: { readonly components: string; readonly manifest: Manifest } | undefined;
  /** Further files, by name. */
  readonly extras: readonly BlockMember[];
  /** Small takes minutes and much memory, once per set; fast takes seconds. What comes out when it is unpacked is the same. */
  readonly isSmall: boolean;
  /** Keeps compressed blocks, by content. */
  readonly cacheDir: string;
  readonly progress: Progress;
  readonly output: string;
}

/**
 * Compressed together, alike beside alike: what programs have in common is then stored once. The tool that is used where no node is
 * comes first: nothing has to be decompressed before it.
 */
const KUBERNETES = ["kubectl", "kube-apiserver", "kube-controller-manager", "kubelet", "kube-scheduler", "kube-proxy"];
const RUNTIME = ["containerd", "ctr", "containerd-shim-runc-v2", "runc"];
/** Reaches back over the largest program; unpacking needs as much memory. */
const WINDOW_LOG = 27;
const UNUSED_MS = 14 * 24 * 60 * 60_000;
const FAST = 1;
const SMALL = 19;

/** Writes the one file: the program, and behind it everything else. */
export async function packComponents(options: PackOptions): Promise<void> {
  const { program, upstream, output } = options;
  const blocks = [];
  const extras = await Promise.all(options.extras.map(describe));
  const programs = upstream === undefined ? [] : componentMembers(upstream.components, upstream.manifest);
  for (const members of [programs, extras]) if (members.length > 0) blocks.push(await packBlock(members, options));
  const temporary = `${output}.tmp-${process.pid}`;
  await copyFile(program, temporary);
  await appendPayload(temporary, blocks, upstream === undefined ? {} : await describeUpstream(upstream));
  await rename(temporary, output);
}

async function describeUpstream({ components, manifest }: NonNullable<PackOptions["upstream"]>): Promise<PayloadInfo> {
  return {
    manifest: withoutTimes(manifest),
    goVersion: await readGoVersion(join(components, "bin/kube-apiserver")),
  };
}

type PayloadInfo = Parameters<typeof appendPayload>[2];

/** Times are of the machine that made the set. */
function withoutTimes(manifest: Manifest): Manifest {
  return { ...manifest, files: manifest.files.map((file) => ({ ...file, mtimeMs: 0 })) };
}

/** A file with what its block is kept under. */
interface Member extends BlockMember {
  readonly size: number;
  readonly sha256: string;
}

function componentMembers(folder: string, { files }: Manifest): readonly Member[] {
  const order = [...KUBERNETES, ...RUNTIME].map((name) => `bin/${name}`);
  const rank = (path: string) => (order.includes(path) ? order.indexOf(path) : order.length);
  const sorted = files.toSorted((a, b) => rank(a.path) - rank(b.path) || (a.path < b.path ? -1 : 1));
  return sorted.map(({ path, size, sha256 }) => ({ name: path, path: join(folder, path), size, sha256 }));
}

async function describe({ name, path }: BlockMember): Promise<Member> {
  const data = await readFile(path);
  return { name, path, size: data.length, sha256: createHash("sha256").update(data).digest("hex") };
}

async function packBlock(members: readonly Member[], options: PackOptions): Promise<PackedBlock> {
  const { isSmall, cacheDir, progress } = options;
  const settings = { level: isSmall ? SMALL : FAST, windowLog: WINDOW_LOG };
  const recipe = [process.versions["zstd"] ?? "", JSON.stringify(settings), ...members.map(({ sha256 }) => sha256)];
  const folder = join(cacheDir, "blocks");
  await mkdir(folder, { recursive: true });
  const path = join(folder, `${createHash("sha256").update(recipe.join("\n")).digest("hex")}.zst`);
  if (!(await exists(path))) await compress(members, path, { ...settings, progress });
  await utimes(path, new Date(), new Date());
  await removeOldBlocks(folder);
  return { path, members: members.map(({ name, size }) => ({ name, size })) };
}

/** Blocks of sets that nobody has built for two weeks, and what interrupted builds left. */
async function removeOldBlocks(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    const found = await stat(path).catch(() => undefined); // another build may have removed it
    if (found !== undefined && Date.now() - found.mtimeMs > UNUSED_MS) await rm(path, { force: true });
  }
}

interface Settings {
  readonly level: number;
  readonly windowLog: number;
  readonly progress: Progress;
}

async function compress(members: readonly Member[], path: string, { progress, ...settings }: Settings): Promise<void> {
  const step = settings.level === SMALL ? "Compress components as small as possible" : "Compress components";
  const total = members.reduce((sum, { size }) => sum + size, 0);
  let done = 0;
  const onProgress = (bytes: number) => progress({ step, done: (done += bytes), total, unit: "bytes" });
  const temporary = `${path}.tmp-${process.pid}`;
  try {
    await compressBlock(members, temporary, { ...settings, onProgress });
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
  progress({ step, done: total, total, unit: "bytes", finished: true });
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
