import { spawn } from "node:child_process";
import { createReadStream } from "node:fs";
import { PassThrough, type Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { isClosedPipe } from "./closed-pipe.ts";
import { NodeRuntimeError } from "./errors.ts";

/** How an archive is packed, by the end of its name (k3s). */
const PACKINGS = [
  { ends: [".tar"], packing: "none" },
  { ends: [".tar.gz", ".tgz"], packing: "gzip" },
  { ends: [".tar.zst", ".tzst"], packing: "zstd" },
  { ends: [".tar.bz2", ".tbz"], packing: "bzip2" },
  { ends: [".tar.lz4"], packing: "lz4" },
] as const;

type Packing = (typeof PACKINGS)[number]["packing"];

/** How the file is packed; undefined when it is no image archive. */
export function archivePacking(path: string): Packing | undefined {
  return PACKINGS.find(({ ends }) => ends.some((end) => path.endsWith(end)))?.packing;
}

export interface ArchiveStream {
  /** The plain tar. Errors of the file or of its packing arrive here. */
  readonly tar: Readable;
  /** Bytes of the file read so far. */
  bytesRead(): number;
  /** Gives up reading. Why the file could not be read or unpacked so far; undefined when it was only the reader that went away. */
  giveUp(): Promise<Error | undefined>;
}

/** Opens an image archive as a plain tar stream. `path` is the search path for programs that unpack. */
export function openArchive(file: string, packing: Packing, path: string): ArchiveStream {
  const source = createReadStream(file, { highWaterMark: 1 << 20 });
  const tar = new PassThrough();
  const fed = Promise.withResolvers<Error | undefined>();
  const finish = (work: Promise<void>) =>
    void work.then(
      () => fed.resolve(undefined),
      (error: unknown) => {
        tar.destroy(asError(error));
        fed.resolve(isClosedPipe(error) ? undefined : asError(error));
      },
    );
  if (packing === "none") finish(pipeline(source, tar));
  else if (packing === "gzip") finish(pipeline(source, createGunzip(), tar));
  else if (packing === "zstd") finish(pipeline(source, createZstdDecompress(), tar));
  else finish(unpackWith(packing, { source, tar, file, path }));
  const giveUp = async () => {
    tar.destroy();
    return await fed.promise;
  };
  return { tar, bytesRead: () => source.bytesRead, giveUp };
}

/** Node knows neither bzip2 nor lz4: the programs of the same names unpack them. */
async function unpackWith(
  program: "bzip2" | "lz4",
  { source, tar, file, path }: { source: Readable; tar: PassThrough; file: string; path: string },
): Promise<void> {
  const child = spawn(program, ["-dc"], { env: { PATH: path }, stdio: ["pipe", "pipe", "pipe"] });
  const ended = new Promise<void>((resolve, reject) => {
    let complaint = "";
    child.stderr.on("data", (data: Buffer) => (complaint = (complaint + data.toString()).slice(-500)));
    child.once("error", (error) => reject(NodeRuntimeError.imageFormat(file, program, error)));
    child.once("close", (code) =>
      code === 0 ? resolve() : reject(new Error(`${program} ended with ${code ?? "a signal"}: ${complaint.trim()}`)),
    );
  });
  tar.once("close", () => child.kill());
  await Promise.all([ended, pipeline(source, child.stdin), pipeline(child.stdout, tar, { end: false })]);
  tar.end();
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Error(String(error));
}
