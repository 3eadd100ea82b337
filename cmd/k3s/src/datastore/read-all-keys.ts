import type { EtcdClient, EtcdKeyValue } from "@k3s/etcd-client";
import { nextPageKeys } from "./next-page-keys.ts";

export interface KeyPage {
  readonly kvs: readonly EtcdKeyValue[];
  /** Keys from the first of this page on. */
  readonly count: number;
  readonly isFirst: boolean;
}

interface ReadOptions {
  readonly prefix: string;
  readonly keysOnly: boolean;
  readonly signal: AbortSignal;
}

const FIRST_PAGE_KEYS = 20;
const PAGE_KEYS_MAX = 500;
const ZERO = Buffer.alloc(1);

/** Every key that starts with `prefix`, as all of them were at one revision, in key order. */
export async function* readAllKeys(client: EtcdClient, options: ReadOptions): AsyncGenerator<KeyPage> {
  const { prefix, keysOnly, signal } = options;
  const rangeEnd = endOfPrefix(prefix);
  let key = prefix === "" ? ZERO : Buffer.from(prefix);
  let revision = 0;
  let limit = FIRST_PAGE_KEYS;
  for (let isFirst = true; ; isFirst = false) {
    signal.throwIfAborted();
    const page = await client.range({ key, rangeEnd, limit, revision, keysOnly });
    if (isFirst) revision = page.revision;
    yield { kvs: page.kvs, count: page.count, isFirst };
    const last = page.kvs.at(-1);
    if (!page.more || last === undefined) return;
    key = Buffer.concat([last.key, ZERO]);
    // An answer is kept in memory on both sides, and sent within one call's time.
    limit = nextPageKeys(page.kvs, PAGE_KEYS_MAX);
  }
}

/** One zero byte: up to the last key. */
function endOfPrefix(prefix: string): Buffer {
  if (prefix === "") return ZERO;
  const end = Buffer.from(prefix); // valid UTF-8 has no byte 0xff
  end.writeUInt8(end.readUInt8(end.length - 1) + 1, end.length - 1);
  return end;
}
