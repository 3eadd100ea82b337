import { createReadStream, createWriteStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import { constants, createZstdCompress } from "node:zlib";

/** A file to be compressed together with others. */
export interface BlockMember {
  readonly name: string;
  readonly path: string;
}

export interface CompressOptions {
  /** 1 (fast) to 19 (small). */
  readonly level: number;
  /** As power of two, how far back equal bytes are found; whoever unpacks needs that much memory. */
  readonly windowLog: number;
  readonly onProgress?: (bytes: number) => void;
}

/** Writes the contents of the files, one after the other, as one zstd frame to `to`. The same input makes the same bytes. */
export async function compressBlock(
  members: readonly BlockMember[],
  to: string,
  { level, windowLog, onProgress }: CompressOptions,
): Promise<void> {
  const params = {
    [constants.ZSTD_c_compressionLevel]: level,
    [constants.ZSTD_c_windowLog]: windowLog,
    [constants.ZSTD_c_enableLongDistanceMatching]: 1,
    [constants.ZSTD_c_checksumFlag]: 1,
  };
  await pipeline(readAll(members, onProgress), createZstdCompress({ params }), createWriteStream(to));
}

async function* readAll(members: readonly BlockMember[], onProgress?: (bytes: number) => void): AsyncGenerator<Buffer> {
  for (const { path } of members) {
    for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) {
      onProgress?.((chunk as Buffer).length);
      yield chunk as Buffer;
    }
  }
}
