import type { Logger } from "@k3s/log";
import { normalizeToken, tokenHash } from "@k3s/token";
import type { BootstrapEntry, BootstrapStore } from "./bootstrap-store.ts";
import { BootstrapError } from "./errors.ts";
import { decryptRecord, encryptRecord } from "./record.ts";

const PREFIX = "/bootstrap";

/** The key of the record for a normalised token. */
export function recordKey(normalizedToken: string): string {
  return `${PREFIX}/${tokenHash(normalizedToken)}`;
}

export interface FindRequest {
  readonly store: BootstrapStore;
  /** As the operator gave it: whole or password only. */
  readonly token: string;
  readonly log: Logger;
}

/** Every record there is, of any token. */
export function listRecords(store: BootstrapStore): Promise<readonly BootstrapEntry[]> {
  return store.list(PREFIX);
}

/**
 * The record of this token, or undefined when the datastore has none at all. A record that an old release wrote under
 * the empty or the un-normalised token is moved to the right key first. Rejects with BootstrapError for another token's.
 */
export async function findRecord(request: FindRequest): Promise<BootstrapEntry | undefined> {
  const records = await listRecords(request.store);
  if (records.length === 0) return undefined;
  if (records.length > 1) request.log.warn({ count: records.length }, "found multiple bootstrap keys in storage");
  const normalized = normalizeToken(request.token);
  const key = recordKey(normalized);
  const ours = records.find((record) => record.key === key);
  if (ours !== undefined) return ours;
  for (const oldToken of new Set(["", request.token])) {
    const old = records.find((record) => record.key === recordKey(oldToken));
    if (old !== undefined) return migrate(request, old, oldToken);
  }
  throw BootstrapError.otherToken();
}

async function migrate(request: FindRequest, old: BootstrapEntry, oldToken: string): Promise<BootstrapEntry> {
  const { store, log } = request;
  const normalized = normalizeToken(request.token);
  const key = recordKey(normalized);
  const plaintext = await decryptRecord(old.value, oldToken);
  // New before old: a stop in between leaves the record twice, never not at all.
  const isCreated = await store.create(key, await encryptRecord(plaintext, normalized));
  if (isCreated) await store.delete(old.key, old.modRevision);
  const moved = (await store.list(key)).find((record) => record.key === key);
  if (moved === undefined) throw BootstrapError.raced();
  log.info({}, "bootstrap data moved to the key of the normalised token");
  return moved;
}
