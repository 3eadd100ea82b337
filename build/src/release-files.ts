import { createReadStream, createWriteStream } from "node:fs";
import { copyFile, mkdir, rename, rm, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { constants, createGzip, createZstdCompress } from "node:zlib";
import type { Manifest, Progress } from "@k3s/components";
import { writeFileAtomic } from "@k3s/files";
import { fileDigest } from "./bill-of-materials.ts";
import { RELEASE } from "./build-program.ts";

export interface ReleaseOptions {
  readonly executable: string;
  /** GOARCH spelling. */
  readonly architecture: string;
  /** Further files to publish, by name. */
  readonly documents: ReadonlyMap<string, string>;
  readonly folder: string;
  readonly progress: Progress;
}

/** Takes minutes; what it saves is downloaded again and again. */
const LEVEL = 22;

/** What `k3s --version` tells, and the folder of a release server is named after. */
export function releaseVersion({ versions }: Pick<Manifest, "versions">): string {
  return `v${versions.kubernetes.text}+${RELEASE}`;
}

/** What k3s's installer asks for on each architecture. */
function executableName(architecture: string): string {
  return architecture === "amd64" ? "k3s" : `k3s-${architecture}`;
}

/** Fills the folder, replaced as a whole, with everything that is published of one executable; answers with sizes by name. */
export async function writeRelease(options: ReleaseOptions): Promise<ReadonlyMap<string, number>> {
  const { executable, architecture, documents, folder, progress } = options;
  const temporary = `${folder}.tmp`;
  await rm(temporary, { recursive: true, force: true });
  await mkdir(temporary, { recursive: true });
  const plain = join(temporary, executableName(architecture));
  await copyFile(executable, plain);
  const step = "Compress the executable";
  progress({ step });
  await pipeline(createReadStream(plain), createGzip({ level: 9 }), createWriteStream(`${plain}.gz`));
  const params = { [constants.ZSTD_c_compressionLevel]: LEVEL, [constants.ZSTD_c_checksumFlag]: 1 };
  await pipeline(createReadStream(plain), createZstdCompress({ params }), createWriteStream(`${plain}.zst`));
  progress({ step, finished: true });
  for (const [name, text] of documents) await writeFileAtomic(join(temporary, name), text, { mode: 0o644 });
  const names = [...["", ".gz", ".zst"].map((suffix) => `${basename(plain)}${suffix}`), ...documents.keys()];
  const lines = await Promise.all(names.map(async (name) => `${await fileDigest(join(temporary, name))}  ${name}\n`));
  await writeFileAtomic(join(temporary, `sha256sum-${architecture}.txt`), lines.join(""), { mode: 0o644 });
  const sizes = names.map(async (name) => [name, (await stat(join(temporary, name))).size] as const);
  const result = new Map(await Promise.all(sizes));
  await rm(folder, { recursive: true, force: true });
  await rename(temporary, folder);
  return result;
}
