import type { Compare, CompareResult } from "./types.ts";
import type { Version } from "./version.ts";

/** Whether a condition holds for all live versions of its range; a missing key compares as 0, and never by value. */
export function holds(
  condition: Compare,
  versions: readonly Version[],
  valueOf: (version: Version) => Buffer,
): boolean {
  const { target, result } = condition;
  if (versions.length === 0) return target.field !== "value" && matches(result, -sign(target.value));
  return versions.every((version) => matches(result, difference(target, version, valueOf)));
}

function difference(target: Compare["target"], version: Version, valueOf: (version: Version) => Buffer): number {
  switch (target.field) {
    case "version":
      return version.version - target.value;
    case "create":
      return version.create - target.value;
    case "mod":
      return version.mod - target.value;
    case "lease":
      return sign(version.lease - target.value);
    case "value":
      return valueOf(version).compare(target.value);
  }
}

function matches(result: CompareResult, order: number): boolean {
  switch (result) {
    case "equal":
      return order === 0;
    case "greater":
      return order > 0;
    case "less":
      return order < 0;
    case "notEqual":
      return order !== 0;
  }
}

function sign(value: number | bigint): number {
  return value > 0 ? 1 : value < 0 ? -1 : 0;
}
