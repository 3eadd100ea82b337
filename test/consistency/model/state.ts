import type { KeyValue, Span } from "../history/operation.ts";
import type { ByteText } from "../wire/bytes.ts";

/** A version of a key with those before it; tombstones included. */
export interface Version extends KeyValue {
  readonly deleted: boolean;
  readonly previous: Version | undefined;
}

/** All that an etcd knows, as a value: a step makes a new one. */
export interface State {
  readonly revision: number;
  readonly compacted: number;
  /** Newest version of each key that ever was. */
  readonly keys: ReadonlyMap<ByteText, Version>;
  readonly leases: ReadonlySet<number>;
  /** Equal for two states of one model exactly when the same changes of keys led to them. */
  readonly history: number;
}

/** A change as a watch has to tell it. */
export interface Change {
  readonly type: "put" | "delete";
  readonly version: Version;
  /** The live version that was replaced. */
  readonly previous: Version | undefined;
}

/** What is known of a server before the first operation: nothing older can be asked for. */
export interface Snapshot {
  readonly revision: number;
  readonly compacted: number;
  readonly kvs: readonly KeyValue[];
}

export function initialState({ revision, compacted, kvs }: Snapshot): State {
  const keys = new Map(kvs.map((kv): [ByteText, Version] => [kv.key, { ...kv, deleted: false, previous: undefined }]));
  return { revision, compacted, keys, leases: new Set(), history: 0 };
}

/** Equal for two states of one model exactly when nothing can tell them apart. */
export function fingerprint({ history, compacted, leases }: State): string {
  return `${history} ${compacted} ${[...leases].sort((a, b) => a - b).join()}`;
}

export function contains({ key, end }: Span, candidate: ByteText): boolean {
  if (end === "") return candidate === key;
  return candidate >= key && (end === "\0" || candidate < end);
}

/** The newest version at a revision, unless the key did not exist then. */
export function liveAt(newest: Version | undefined, revision: number): Version | undefined {
  let version = newest;
  while (version !== undefined && version.mod > revision) version = version.previous;
  return version === undefined || version.deleted ? undefined : version;
}

/** Live versions of a span at a revision, in key order. */
export function scan(keys: State["keys"], span: Span, revision: number): Version[] {
  const found: Version[] = [];
  if (span.end === "") {
    const version = liveAt(keys.get(span.key), revision);
    return version === undefined ? found : [version];
  }
  for (const [key, newest] of keys) {
    const version = contains(span, key) ? liveAt(newest, revision) : undefined;
    if (version !== undefined) found.push(version);
  }
  return found.sort((a, b) => (a.key < b.key ? -1 : 1));
}

export function toKeyValue({ key, create, mod, version, value, lease }: Version): KeyValue {
  return { key, create, mod, version, value, lease };
}
