import type { Logger } from "@k3s/log";
import { normalizeToken } from "@k3s/token";
import type { BootstrapStore } from "./bootstrap-store.ts";
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
  /** Replaces a record that is there, for files that were changed on purpose. An empty lock is always replaced. */
  readonly isOverriding?: boolean;
  readonly hasSecretsEncryption?: boolean;
}

/** `exists`: a record was there and was left alone. */
export type SaveOutcome = "created" | "replaced" | "exists";

/** Stores this server's identity for the servers to come and for the next start. Rejects with BootstrapError. */
export async function saveBootstrap(options: SaveOptions): Promise<SaveOutcome> {
  const { store, serverDir, log, signal } = options;
  const password = normalizeToken(options.token);
  const paths = bootstrapPaths(serverDir, options.hasSecretsEncryption ?? false);
  const content = await readFiles(paths);
  for (const [member, path] of paths) if (!content.has(member)) log.warn({ path }, "bootstrap data lacks a file");
  const value = await encryptRecord(formatContent(content), password);
  signal.throwIfAborted();
  const existing = await findRecord(options);
  const key = recordKey(password);
  if (existing === undefined) {
    if (await store.create(key, value)) return "created";
    throw BootstrapError.raced();
  }
  if (existing.value !== "" && options.isOverriding !== true) {
    log.info({}, "Bootstrap key already exists");
    return "exists";
  }
  if ((await listRecords(store)).length > 1) throw BootstrapError.multipleRecords();
  if (!(await store.update(key, value, existing.modRevision))) throw BootstrapError.raced();
  return "replaced";
}
