import { createReadStream, createWriteStream } from "node:fs";
import { mkdtemp, open, readdir, rename, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { PassThrough, type Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { constants, createGzip, createZstdCompress } from "node:zlib";
import type { ComponentSet } from "@k3s/components";
import type { Logger } from "@k3s/log";
import { archivePacking, type StoredImage } from "@k3s/node-runtime";
import { AirgapError } from "./errors.ts";
import { ImageWorkshop } from "./image-workshop.ts";

/** As a release of k3s packs its own: small enough for a stick, and unpacked as fast as any other level. */
const ZSTD_LEVEL = 15;

/** What goes into an archive of images, and where they are taken from. */
export interface ImageArchiveOptions {
  /** What has to be in the archive, in full form. */
  readonly references: readonly string[];
  /** Archives, and folders with archives, whose images are all taken; a needed one of them is not asked of a registry. */
  readonly from: readonly string[];
  /** The file to write; its name says how it is packed: `.tar`, `.tar.gz`, `.tar.zst`. */
  readonly output: string;
  readonly set: Pick<ComponentSet, "path">;
  readonly path: string;
  readonly architecture: string;
  /** Never asks a registry. */
  readonly offline: boolean;
  /** Folder of `<registry>/hosts.toml` files (containerd's own format): mirrors, certificates, credentials. */
  readonly hostsDir: string | undefined;
  readonly log: Logger;
  /** Told in a few words what is being done. */
  readonly onStep: (step: string) => void;
  readonly signal: AbortSignal;
}

/** Writes, as root, an archive of images as `agent/images` takes it, and returns what is in it. Rejects with AirgapError or NodeRuntimeError. */
export async function makeImageArchive(options: ImageArchiveOptions): Promise<readonly StoredImage[]> {
  const { output, set, path, architecture, log, onStep, signal } = options;
  const archives = (await Promise.all(options.from.map(findArchives))).flat();
  const packer = createPacker(output);
  const folder = await mkdtemp(join(tmpdir(), "k3s-airgap-"));
  try {
    await using workshop = await ImageWorkshop.open({ set, path, folder, architecture, log }, signal);
    const names = new Set(options.references);
    for (const archive of archives) {
      onStep(`take images from ${archive}`);
      for (const name of await workshop.import(archive, signal)) names.add(name);
    }
    await fetchMissing(workshop, options);
    const images = (await workshop.list(signal)).filter(({ name }) => names.has(name));
    onStep(`write ${images.length} images to ${output}`);
    const tar = join(folder, "images.tar");
    await workshop.export(images.map(({ name }) => name).sort(), tar, signal);
    await pack(tar, { packer, output, signal });
    return images;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function fetchMissing(
  workshop: ImageWorkshop,
  { references, offline, hostsDir, onStep, signal }: ImageArchiveOptions,
): Promise<void> {
  const stored = new Set((await workshop.list(signal)).map(({ name }) => name));
  const missing = references.filter((reference) => !stored.has(reference));
  if (offline && missing.length > 0) throw AirgapError.absent(missing);
  for (const reference of missing) {
    onStep(`get ${reference}`);
    await workshop.fetch(reference, hostsDir, signal);
  }
}

/** The archive itself, or those in the folder. */
async function findArchives(path: string): Promise<string[]> {
  const found = await stat(path).catch(() => undefined);
  if (found?.isFile() === true && archivePacking(path) !== undefined) return [path];
  const names = found?.isDirectory() === true ? await readdir(path) : [];
  const archives = names.filter((name) => archivePacking(name) !== undefined).sort();
  if (archives.length === 0) throw AirgapError.noArchive(path);
  return archives.map((name) => join(path, name));
}

function createPacker(output: string): Transform {
  switch (archivePacking(output)) {
    case "none":
      return new PassThrough();
    case "gzip":
      return createGzip();
    case "zstd":
      return createZstdCompress({ params: { [constants.ZSTD_c_compressionLevel]: ZSTD_LEVEL } });
    default:
      throw AirgapError.output(output, "its name says no packing that can be written");
  }
}

/** A file of that name is whole or not there. */
async function pack(
  tar: string,
  { packer, output, signal }: { readonly packer: Transform; readonly output: string; readonly signal: AbortSignal },
): Promise<void> {
  const temporary = `${output}.tmp-${process.pid}`;
  try {
    await pipeline(createReadStream(tar), packer, createWriteStream(temporary, { mode: 0o644 }), { signal });
    await using file = await open(temporary, "r+");
    await file.sync();
    await rename(temporary, output);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    signal.throwIfAborted();
    const reason = error instanceof Error ? error.message : "it failed";
    throw AirgapError.output(output, `${reason} (folder ${dirname(output)})`);
  }
}
