import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";

const PAGE_BYTES = 4096;
/** What a leaf of an index begins with (sqlite.org/fileformat2.html, 1.6). */
const INDEX_LEAF = 0x0a;

/** Writes over all leaves of the index of heads but the first ones, which a look whether the file can be read needs. */
export async function spoilHeads(path: string): Promise<void> {
  const bytes = await readFile(path);
  const leaves: number[] = [];
  for (let at = PAGE_BYTES; at < bytes.length; at += PAGE_BYTES) if (bytes[at] === INDEX_LEAF) leaves.push(at);
  assert.ok(leaves.length > 3, `${leaves.length} leaves`);
  for (const at of leaves.slice(3)) bytes.fill(0x5a, at, at + PAGE_BYTES);
  await writeFile(path, bytes);
}
