import { copyFile, mkdir, open, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import type { TestContext } from "node:test";
import type { OpenStore } from "@k3s/datastore";
import { below, create, query } from "./ops.ts";
import { storeAt, tempDatabase } from "./temp-store.ts";

const WAL_HEADER_BYTES = 32;
const FRAME_BYTES = 24 + 4096;

/** The files of a store as a kill would leave them, after `count` transactions with one key each, and what `more` does. */
export async function crashImage(
  t: TestContext,
  count: number,
  more: (store: OpenStore, path: string) => Promise<void> = () => Promise.resolve(),
): Promise<string> {
  const source = await tempDatabase(t);
  const store = await storeAt(t, source);
  for (let i = 0; i < count; i++) await store.txn(create(`/kept/${i}`, "v".repeat(3000)));
  await more(store, source);
  const path = await copyImage(t, source);
  await store.close();
  return path;
}

/** The files of a store that is open, as a kill would leave them. */
export async function copyImage(t: TestContext, source: string): Promise<string> {
  const path = await tempDatabase(t);
  await mkdir(dirname(path));
  for (const suffix of ["", "-wal"]) await copyFile(`${source}${suffix}`, `${path}${suffix}`);
  return path;
}

/** How many keys of the image a store shows. */
export async function keptKeys(store: OpenStore): Promise<number> {
  return (await store.range(query(below("/kept/"), { countOnly: true }))).count;
}

/** Where the frames of each transaction begin in a log without leftovers. */
export async function transactions(wal: string): Promise<readonly (readonly number[])[]> {
  const bytes = await readFile(wal);
  const all: number[][] = [[]];
  for (let at = WAL_HEADER_BYTES; at + FRAME_BYTES <= bytes.length; at += FRAME_BYTES) {
    all.at(-1)?.push(at);
    if (bytes.readUInt32BE(at + 4) !== 0) all.push([]);
  }
  return all.slice(0, -1);
}

/** Turns one bit of a file. */
export async function flipBit(path: string, offset: number): Promise<void> {
  const file = await open(path, "r+");
  const byte = Buffer.alloc(1);
  await file.read(byte, 0, 1, offset);
  await file.write(Buffer.of(byte.readUInt8(0) ^ 0x10), 0, 1, offset);
  await file.close();
}
