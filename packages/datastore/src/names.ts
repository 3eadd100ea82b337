import type { Key } from "./version.ts";

/** Kine's compaction marker; clients see the row {@link COMPACT_ROW} under this name instead. */
export const MARKER_NAME = "compact_rev_key";
/** Where kine keeps what the API server writes to `compact_rev_key`; its value is `version|value`. */
const COMPACT_ROW = "compact_rev_key_apiserver";
/** The key of the API server's compaction lock. */
export const COMPACT_KEY: Key = "compact_rev_key";
/** Kine creates this key at each start where it is missing. */
export const HEALTH_KEY: Key = "/registry/health";

const ESCAPE = "escaped-key:";
const GAP = /^gap-\d+$/;
// Files of kine before v0.16.3 declare `name INTEGER`: SQLite turns text that is a number into a number there.
const NUMERIC = /^\s*[+-]?\.?\d/;

/** Text in which a byte is a character, whatever the encoding. */
const ASCII = /^[\x01-\x7f]*$/;

/** The text a key has in the column `name`: itself, unless kine reserves it or the column could not give it back. */
export function nameOfKey(key: Key): string {
  if (key === COMPACT_KEY) return COMPACT_ROW;
  if (ASCII.test(key) && !isReserved(key) && !NUMERIC.test(key)) return key;
  const bytes = Buffer.from(key, "latin1");
  const text = bytes.toString("utf8");
  const isPlain = !key.includes("\0") && Buffer.from(text, "utf8").equals(bytes);
  if (isPlain && !isReserved(text) && !NUMERIC.test(text)) return text;
  return ESCAPE + bytes.toString("hex");
}

/** A name in the form that consists of letters and digits only, for databases that could not give the name back as it is. */
export function escapeName(name: string): string {
  return ESCAPE + Buffer.from(name, "utf8").toString("hex");
}

/** The key of a row's name. Not for the marker and for gap rows. */
export function keyOfName(name: string): Key {
  if (name === COMPACT_ROW) return COMPACT_KEY;
  if (name.startsWith(ESCAPE)) return Buffer.from(name.slice(ESCAPE.length), "hex").toString("latin1");
  return ASCII.test(name) ? name : Buffer.from(name, "utf8").toString("latin1");
}

/** Rows by which kine fills a hole in the ids: nobody's key. */
export function isGapName(name: string): boolean {
  return GAP.test(name);
}

/** What a client wrote to the compaction key, as kine stores it. */
export function packCompactValue(version: number, value: Buffer): Buffer {
  return Buffer.concat([Buffer.from(`${version}|`), value]);
}

/** Version and value of the compaction key from its row. Older rows hold only the version; kine then says "0". */
export function unpackCompactValue(stored: Buffer): { readonly version: number; readonly value: Buffer } {
  const bar = stored.indexOf("|");
  const version = Number.parseInt(stored.toString("latin1", 0, bar < 0 ? stored.length : bar), 10);
  const value = bar < 0 ? Buffer.from("0") : stored.subarray(bar + 1);
  return { version: Number.isSafeInteger(version) ? version : 1, value };
}

function isReserved(text: string): boolean {
  return text === COMPACT_ROW || text.startsWith("gap-") || text.startsWith(ESCAPE);
}
