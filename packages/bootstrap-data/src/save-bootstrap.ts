import type { Logger } from "@k3s/log";
import { normalizeToken } from "@k3s/token";
import type { BootstrapEntry, BootstrapStore } from "./bootstrap-store.ts";
import { bootstrapPaths, formatContent } from "./content.ts";
import { readFiles } from "./disk.ts";
import { BootstrapError } from "./errors.ts";
import { findRecord, listRecords, recordKey } from "./find-record.ts";
import { encryptRecord } from "./record.ts";

export interface SaveOptions {
  readonly store: BootstrapStore;
  readonly serverDir: string;
  /** The token in use: from the flag, from `server/token`, or the password just made up. */
  readonly token: string;
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** Of the claim that prepareBootstrap() gave: then this very lock becomes the record, or, at 0, the record is created. */
  readonly lockRevision?: number;
  /** Replaces a record that is there, for files that were changed on purpose. Without a claim an empty lock is always replaced. */
  readonly isOverriding?: boolean;
  readonly hasSecretsEncryption?: boolean;
}

/** `exists`: a record was there and was left alone. `lost`: the claim is another server's by now, nothing was written. */
export type SaveOutcome = "created" | "replaced" | "exists" | "lost";

/** Stores this server's identity for the servers to come and for the next start. Rejects with BootstrapError. */
export async function saveBootstrap(options: SaveOptions): Promise<SaveOutcome> {
  const { serverDir, log, signal } = options;
  const password = normalizeToken(options.token);
  const paths = bootstrapPaths(serverDir, options.hasSecretsEncryption ?? false);
  const content = await readFiles(paths);
  for (const [member, path] of paths) if (!content.has(member)) log.warn({ path }, "bootstrap data lacks a file");
  const value = await encryptRecord(formatContent(content), password);
  signal.throwIfAborted();
  const existing = await findRecord(options);
  if (options.lockRevision !== undefined && (existing?.modRevision ?? 0) !== options.lockRevision) return "lost";
  const place = existing ?? { key: recordKey(password), value: "", modRevision: 0 };
  if (place.value !== "" && options.isOverriding !== true) {
    log.info({}, "Bootstrap key already exists");
    return "exists";
  }
  return await write(options, place, value);
}

async function write(
  { store, lockRevision }: SaveOptions,
  place: BootstrapEntry,
  value: string,
): Promise<"created" | "replaced" | "lost"> {
  const { key, modRevision } = place;
  const isNew = modRevision === 0;
  if (!isNew && (await listRecords(store)).length > 1) throw BootstrapError.multipleRecords();
  const isWritten = isNew ? store.create(key, value) : store.update(key, value, modRevision);
  if (await isWritten) return isNew ? "created" : "replaced";
  if (lockRevision === undefined) throw BootstrapError.raced();
  return "lost";
}
