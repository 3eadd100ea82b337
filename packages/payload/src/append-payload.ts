import { createReadStream } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import { zstdCompressSync } from "node:zlib";
import { formatFooter } from "./footer.ts";
import type { IndexBlock, IndexMember, PayloadIndex } from "./payload-index.ts";

/** A block as compressBlock() wrote it. */
export interface PackedBlock {
  readonly path: string;
  readonly members: readonly IndexMember[];
}

/** Adds the blocks, their list with `info`, and a footer to the end of an executable; it stays executable. */
export async function appendPayload(
  executable: string,
  packed: readonly PackedBlock[],
  info: PayloadIndex["info"],
): Promise<void> {
  await using file = await open(executable, "a");
  let offset = (await file.stat()).size;
  const blocks: IndexBlock[] = [];
  for (const { path, members } of packed) {
    const length = await copy(path, file);
    blocks.push({ offset, length, members });
    offset += length;
  }
  const index = zstdCompressSync(JSON.stringify({ blocks, info } satisfies PayloadIndex));
  await file.write(index);
  await file.write(formatFooter(offset, index));
  await file.sync();
}

async function copy(path: string, to: FileHandle): Promise<number> {
  let length = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) {
    await to.writeFile(chunk as Buffer);
    length += (chunk as Buffer).length;
  }
  return length;
}
