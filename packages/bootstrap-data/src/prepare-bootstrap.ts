import { deadline, sleep } from "@k3s/async";
import { StoreError } from "@k3s/datastore";
import type { Logger } from "@k3s/log";
import { normalizeToken } from "@k3s/token";
import type { BootstrapEntry, BootstrapStore } from "./bootstrap-store.ts";
import { bootstrapPaths, parseContent } from "./content.ts";
import { putBack, readFiles } from "./disk.ts";
import { BootstrapError } from "./errors.ts";
import { findRecord, listRecords, recordKey } from "./find-record.ts";
import { reconcile, type Reconciliation } from "./reconcile.ts";
import { decryptRecord } from "./record.ts";

/** How patient a server is with a datastore that others use too. */
export interface BootstrapPolicy {
  /** Between two looks at the datastore. */
  readonly pollMs: number;
  /** For one answer of the datastore. */
  readonly attemptTimeoutMs: number;
  /** Looks at a lock before it is taken for abandoned; 0 where no other server can exist, so that none is waited for. */
  readonly lockPatience: number;
}

/** The values of k3s. */
export const bootstrapPolicy: BootstrapPolicy = { pollMs: 5000, attemptTimeoutMs: 10_000, lockPatience: 5 };

export interface PrepareOptions {
  readonly store: BootstrapStore;
  readonly serverDir: string;
  /** From the flag or `server/token`; undefined on the first start without a token. */
  readonly token: string | undefined;
  readonly log: Logger;
  readonly signal: AbortSignal;
  readonly policy?: BootstrapPolicy;
  readonly hasSecretsEncryption?: boolean;
  readonly isClusterReset?: boolean;
}

/** The right to make the identity of the cluster, for as long as the lock is not taken for abandoned. */
export interface Claim {
  readonly kind: "must-save";
  /** Where the lock is in the history of the datastore; 0: there is none, and no record either. */
  readonly lockRevision: number;
  /** Puts the files of the identity back as they were when the claim was made. Rejects with BootstrapError. */
  withdraw(): Promise<void>;
}

/**
 * `reconciled`: the disk agrees with the record now. `must-save`: there is no record; make the certificates, then call
 * saveBootstrap() with the revision of the lock; where that says `lost`, withdraw() and prepare again.
 */
export type Preparation = ({ readonly kind: "reconciled" } & { readonly result: Reconciliation }) | Claim;

/**
 * Finds out whether this cluster exists already, before any certificate is made, and takes its identity from the
 * datastore if so. Where several servers start at once, one makes the identity and the others wait for it here.
 * Rejects with BootstrapError, TokenError, or the reason of `signal`; waits as long as a datastore that is away needs.
 */
export async function prepareBootstrap(options: PrepareOptions): Promise<Preparation> {
  const { token, store } = options;
  const policy = options.policy ?? bootstrapPolicy;
  if (policy.lockPatience === 0) await ask(options, () => dropLocks(store));
  if (token === undefined) return prepareWithoutToken(options);
  const key = recordKey(normalizeToken(token));
  let looksAtLock = 0;
  for (;;) {
    const record = await ask(options, () => findRecord({ ...options, token }));
    if (record === undefined) {
      if (await ask(options, () => store.create(key, ""))) {
        options.log.info({}, "Bootstrap key locked for initial create");
        // If it is another server's by now, both hold it: the first of them to save has it, as no revision is written on twice.
        const lock = await ask(options, () => findRecord({ ...options, token }));
        if (lock?.value === "") return claim(options, lock.modRevision);
        continue;
      }
    } else if (record.value !== "") {
      return { kind: "reconciled", result: await reconcileWith(options, record, normalizeToken(token)) };
    } else if (++looksAtLock >= policy.lockPatience) {
      options.log.warn({}, "Bootstrap key lock timed out - deleting lock and retrying");
      await ask(options, () => store.delete(record.key, record.modRevision));
      looksAtLock = 0;
      continue;
    }
    await sleep(policy.pollMs, options.signal);
  }
}

async function prepareWithoutToken(options: PrepareOptions): Promise<Preparation> {
  const records = await ask(options, () => listRecords(options.store));
  // A new random token could never open what is there: say so before anything is made.
  if (records.length > 0) throw BootstrapError.otherToken();
  return claim(options, 0);
}

async function claim({ serverDir, hasSecretsEncryption }: PrepareOptions, lockRevision: number): Promise<Claim> {
  const paths = bootstrapPaths(serverDir, hasSecretsEncryption ?? false);
  const before = await readFiles(paths);
  return { kind: "must-save", lockRevision, withdraw: () => putBack(before, paths) };
}

/** Takes away the locks a start of ours left that was cut off; with no other server they cannot be anybody else's. */
async function dropLocks(store: BootstrapStore): Promise<void> {
  for (const { key, value, modRevision } of await listRecords(store)) {
    if (value === "") await store.delete(key, modRevision);
  }
}

async function reconcileWith(
  options: PrepareOptions,
  record: BootstrapEntry,
  password: string,
): Promise<Reconciliation> {
  const { serverDir, log } = options;
  const content = parseContent(await decryptRecord(record.value, password));
  const paths = bootstrapPaths(serverDir, options.hasSecretsEncryption ?? false);
  const isClusterReset = options.isClusterReset ?? false;
  const result = await reconcile({ content, serverDir, paths, isClusterReset, now: new Date() });
  if (result.kind === "restored") log.info({ files: result.paths }, "Updating bootstrap data on disk from datastore");
  return result;
}

/** Asks the datastore until it answers, each time within the limit of the policy. */
async function ask<T>(options: PrepareOptions, question: () => Promise<T>): Promise<T> {
  const { signal, log, policy = bootstrapPolicy } = options;
  for (;;) {
    signal.throwIfAborted();
    try {
      return await askOnce(question, policy.attemptTimeoutMs, signal);
    } catch (error) {
      if (!(error instanceof BootstrapError && error.code === "ERR_BOOTSTRAP_UNREACHABLE")) throw error;
      log.warn({ error }, "datastore does not answer yet, bootstrap data will be asked for again");
      await sleep(policy.pollMs, signal);
    }
  }
}

async function askOnce<T>(question: () => Promise<T>, timeoutMs: number, signal: AbortSignal): Promise<T> {
  using limit = deadline(timeoutMs, "Reading bootstrap data", signal);
  const late = Promise.withResolvers<never>();
  const onAbort = () => late.reject(limit.reason as Error);
  limit.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([question(), late.promise]);
  } catch (error) {
    signal.throwIfAborted();
    const isAway = limit.aborted || (error instanceof StoreError && error.reason === "unavailable");
    throw isAway ? BootstrapError.unreachable(error) : error;
  } finally {
    limit.removeEventListener("abort", onAbort);
  }
}
