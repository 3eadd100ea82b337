import { isDeepStrictEqual } from "node:util";
import type { KeyValue, Refusal, Response } from "../history/operation.ts";

/** What a range has to answer. Keys that sort alike may come in any order, so the answer is described, not given. */
export interface ExpectedRange {
  readonly kind: "range";
  /** All that pass the filters, sorted, not yet cut. */
  readonly kvs: readonly KeyValue[];
  /** What they are sorted by; undefined: by the key, which never ties. */
  readonly sortedBy: ((kv: KeyValue) => number | string) | undefined;
  /** Infinity: none. */
  readonly limit: number;
  readonly more: boolean;
  readonly count: number;
}

/** What a request has to answer; revisions of headers aside. `wrote` tells whether it changed a key. */
export type Expected =
  | ExpectedRange
  | { readonly kind: "put"; readonly prevKv: KeyValue | undefined }
  | { readonly kind: "delete"; readonly deleted: number; readonly prevKvs: readonly KeyValue[] }
  | { readonly kind: "txn"; readonly succeeded: boolean; readonly responses: readonly Expected[] }
  | { readonly kind: "compact" | "leaseRevoke" | "leaseGrant" | "hole" }
  | { readonly kind: "leaseKeepAlive" | "leaseTimeToLive"; readonly exists: boolean }
  | { readonly kind: "refused"; readonly reasons: ReadonlySet<Refusal | "other"> };

/** Revisions before and after the step that is being compared. */
export interface Step {
  readonly before: number;
  readonly after: number;
}

/** Whether the answer is one that etcd could have given. Headers of the outer message are compared elsewhere. */
export function matches(expected: Expected, actual: Response, step: Step): boolean {
  switch (expected.kind) {
    case "refused":
      return false;
    case "range":
      return actual.kind === "range" && matchesRange(expected, actual);
    case "put":
      return actual.kind === "put" && isDeepStrictEqual(actual.prevKv, expected.prevKv);
    case "delete":
      return actual.kind === "delete" && matchesDelete(expected, actual);
    case "txn":
      return actual.kind === "txn" && matchesTxn(expected, actual, step);
    default:
      return actual.kind === expected.kind && matchesLease(expected, actual);
  }
}

type Kind<Of, Name> = Extract<Of, { readonly kind: Name }>;

function matchesDelete(expected: Kind<Expected, "delete">, actual: Kind<Response, "delete">): boolean {
  return actual.deleted === expected.deleted && isDeepStrictEqual(actual.prevKvs, expected.prevKvs);
}

/** Whether the lease is there, where the answer tells. */
function matchesLease(expected: Expected, actual: Response): boolean {
  return !("exists" in expected) || ("ttl" in actual && actual.ttl > 0 === expected.exists);
}

function matchesTxn(expected: Kind<Expected, "txn">, actual: Kind<Response, "txn">, step: Step): boolean {
  if (actual.succeeded !== expected.succeeded || actual.responses.length !== expected.responses.length) return false;
  return expected.responses.every((inner, index) => {
    const answer = actual.responses[index];
    return answer !== undefined && matches(inner, answer, step) && isNestedHeaderRight(inner, answer, step);
  });
}

/** etcd's transactions inside of transactions have an empty header, ranges that of the moment they ran in. */
function isNestedHeaderRight(expected: Expected, { revision }: Response, { before, after }: Step): boolean {
  if (expected.kind === "txn") return true;
  const wrote = expected.kind === "put" || (expected.kind === "delete" && expected.deleted > 0);
  return wrote ? revision === after : revision >= before && revision <= after;
}

function matchesRange(expected: ExpectedRange, actual: Kind<Response, "range">): boolean {
  if (actual.more !== expected.more || actual.count !== expected.count) return false;
  const { sortedBy } = expected;
  const wanted = expected.kvs.slice(0, expected.limit);
  if (sortedBy === undefined) return isDeepStrictEqual(actual.kvs, wanted);
  if (!isDeepStrictEqual(actual.kvs.map(sortedBy), wanted.map(sortedBy))) return false;
  const byKey = new Map(expected.kvs.map((kv) => [kv.key, kv]));
  const isKnown = actual.kvs.every((kv) => isDeepStrictEqual(byKey.get(kv.key), kv));
  return isKnown && new Set(actual.kvs.map(({ key }) => key)).size === actual.kvs.length;
}
