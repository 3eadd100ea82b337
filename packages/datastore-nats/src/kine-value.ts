import { readFrames, writeFrames } from "./s2-frames.ts";

/** What kine keeps in a message, beyond what subject and sequence say. */
export interface KineValue {
  readonly created: boolean;
  readonly deleted: boolean;
  readonly createRevision: number;
  readonly prevRevision: number;
  /** Seconds; kine's lease ids are these. */
  readonly ttlSeconds: number;
  readonly value: Buffer;
}

/** Kine's JSON in a frame; `name` is the key as kine shows it. Value bytes of a tombstone are left out. */
export function packKineValue(
  name: string,
  row: Omit<KineValue, "value"> & { readonly value: Buffer | undefined },
): Buffer {
  const json = JSON.stringify({
    KV: {
      Key: name,
      Value: row.value?.toString("base64") ?? null,
      Version: 0,
      // Kine takes the sequence of a creation for its revision.
      CreateRevision: row.created ? 0 : row.createRevision,
      ModRevision: 0,
      Lease: row.ttlSeconds,
    },
    PrevRevision: row.prevRevision,
    Create: row.created,
    Delete: row.deleted,
  });
  return writeFrames(Buffer.from(json));
}

/** Reads what kine or {@link packKineValue} wrote. Throws S2FormatError or SyntaxError when it is something else. */
export function unpackKineValue(data: Uint8Array): KineValue {
  const record = asRecord(JSON.parse(readFrames(data).toString("utf8")));
  const kv = asRecord(record["KV"]);
  const value = kv["Value"];
  return {
    created: record["Create"] === true,
    deleted: record["Delete"] === true,
    createRevision: asCount(kv["CreateRevision"]),
    prevRevision: asCount(record["PrevRevision"]),
    ttlSeconds: asCount(kv["Lease"]),
    value: Buffer.from(typeof value === "string" ? value : "", "base64"),
  };
}

function asRecord(value: unknown): Readonly<Record<string, unknown>> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return { ...value };
  throw new SyntaxError("Cannot read value of kine: a part is no JSON object");
}

function asCount(value: unknown): number {
  return typeof value === "number" && Number.isSafeInteger(value) && value > 0 ? value : 0;
}
