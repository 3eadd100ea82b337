import type { History } from "../history/history.ts";
import { COMPACT_KEY } from "../traffic/keyspace.ts";

/** What a version is taken for when only creation and update are told apart. */
export function cappedVersion(key: string, version: number): number {
  return key === COMPACT_KEY ? version : Math.min(version, 2);
}

/** The history with every version of a key capped. */
export function capVersions(history: History): History {
  return capped(history) as History; // sound: nothing but numbers changes
}

function capped(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(capped);
  if (typeof value !== "object" || value === null) return value;
  const copy = Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, capped(inner)]));
  const { key, version, mod } = copy;
  const isKeyValue = typeof key === "string" && typeof version === "number" && mod !== undefined;
  return isKeyValue ? { ...copy, version: cappedVersion(key, version) } : copy;
}
