/** A moment in nanoseconds since 1970; 0n also stands for "unknown". */
export type Nanoseconds = bigint;

const PER_MS = 1_000_000n;
const PER_SECOND = 1_000_000_000n;
/** How Go writes a time that was never set. */
const GO_ZERO = "0001-01-01T00:00:00Z";

/** RFC 3339 in UTC with up to nine decimals and none that is zero at the end, as Go's RFC3339Nano. */
export function formatTimestamp(time: Nanoseconds): string {
  const seconds = new Date(Number(time / PER_MS)).toISOString().slice(0, 19);
  const fraction = (time % PER_SECOND).toString().padStart(9, "0").replace(/0+$/, "");
  return `${seconds}${fraction === "" ? "" : `.${fraction}`}Z`;
}

/** Reads RFC 3339 with any offset and any number of decimals up to nine; undefined when it is something else. */
export function parseTimestamp(text: string): Nanoseconds | undefined {
  if (text === GO_ZERO) return 0n;
  const match = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)$/.exec(text);
  const [, seconds = "", fraction = "", offset = ""] = match ?? [];
  const ms = match === null ? Number.NaN : Date.parse(`${seconds}${offset}`);
  return Number.isNaN(ms) ? undefined : BigInt(ms) * PER_MS + BigInt(fraction.padEnd(9, "0"));
}
