import type { Span } from "../history/operation.ts";

function prefix(key: string): Span {
  const last = key.charCodeAt(key.length - 1);
  return { key, end: key.slice(0, -1) + String.fromCharCode(last + 1) };
}

function numbered(start: string, count: number): readonly string[] {
  return Array.from({ length: count }, (_, index) => `${start}${index}`);
}

export const EVERYTHING: Span = { key: "\0", end: "\0" };
export const COMPACT_KEY = "compact_rev_key";

/** What a Kubernetes-shaped client works on: few keys, so that clients meet. */
export const resources = [
  { prefix: prefix("/registry/pods/"), keys: numbered("/registry/pods/default/p", 5) },
  { prefix: prefix("/registry/events/"), keys: numbered("/registry/events/default/e", 3) },
] as const;

/** What an etcd-shaped client works on, odd keys among them: a number, bytes that are no text, and one key inside of another. */
export const plainKeys: readonly string[] = ["a", "a\0", "ab", "b", "17", "\xff\0\xfe", "c/1", "c/2", "c/3"];

/** Those of {@link spans} in which the compaction key is not. */
export const spansWithoutCompactKey: readonly [Span, ...Span[]] = [
  resources[0].prefix,
  resources[1].prefix,
  prefix("c/"),
  { key: "a", end: "" },
  { key: "a", end: "b" },
];

/** Spans that watches and ranges ask for. */
export const spans: readonly [Span, ...Span[]] = [
  EVERYTHING,
  ...spansWithoutCompactKey,
  { key: "b", end: "\0" },
  { key: COMPACT_KEY, end: "" },
];

/** A key inside of each of {@link spans}. */
export function keyIn({ key }: Span): string {
  return key === "\0" ? "a" : key.endsWith("/") ? `${key}z` : key;
}
