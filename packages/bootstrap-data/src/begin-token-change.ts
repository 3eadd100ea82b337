import type { Logger } from "@k3s/log";
import type { BootstrapEntry, BootstrapStore } from "./bootstrap-store.ts";
import { bootstrapPaths, formatContent, parseContent, type StoredFile } from "./content.ts";
import { readFiles } from "./disk.ts";
import { BootstrapError } from "./errors.ts";
import { findRecord, recordKey } from "./find-record.ts";
import { decryptRecord, encryptRecord } from "./record.ts";

export interface TokenChangeOptions {
  readonly store: BootstrapStore;
  readonly serverDir: string;
  /** Passwords, not whole tokens; they differ. */
  readonly oldToken: string;
  readonly newToken: string;
  /** The text of `cred/passwd` that goes with the new token; it is not on disk yet. */
  readonly passwd: string;
  readonly log: Logger;
}

/** A record that exists twice, for the old token and for the new one, until one of these is called. */
export interface TokenChange {
  /** Takes the record of the old token away. Rejects with BootstrapError when somebody else changed it meanwhile. */
  finish(): Promise<void>;
  /** Takes the record of the new token away again. */
  undo(): Promise<void>;
}

/**
 * Stores the bootstrap record under a new token as well, with the passwd file of that. Whoever is cut off after this may
 * start with either token: the disk follows the record. Rejects with BootstrapError, having changed nothing.
 */
export async function beginTokenChange(options: TokenChangeOptions): Promise<TokenChange> {
  const { store, oldToken, newToken, log } = options;
  const old = await findRecord({ store, token: oldToken, log });
  const value = await encryptRecord(await changedContent(options, old), newToken);
  const key = recordKey(newToken);
  if (!(await put(options, key, value))) throw BootstrapError.raced();
  return {
    finish: async () => {
      if (old === undefined) return;
      let isRemoved: boolean;
      try {
        isRemoved = await store.delete(old.key, old.modRevision);
      } catch (error) {
        // The new token counts already, and whether the old record went is not known: going back could lose both.
        log.warn(
          { error, record: old.key },
          "the record of the old token may be left in the datastore, delete it there",
        );
        return;
      }
      if (!isRemoved) throw BootstrapError.raced();
    },
    undo: async () => {
      const ours = await read(store, key);
      if (ours?.value === value) await store.delete(key, ours.modRevision);
    },
  };
}

/** What the old record says, with what is on disk now and the new users over it. */
async function changedContent(options: TokenChangeOptions, old: BootstrapEntry | undefined): Promise<string> {
  const { serverDir, oldToken, passwd } = options;
  const isFilled = old !== undefined && old.value !== "";
  const stored = isFilled ? parseContent(await decryptRecord(old.value, oldToken)) : [];
  const users: StoredFile = { content: Buffer.from(passwd), timestamp: BigInt(Date.now()) * 1_000_000n };
  const onDisk = await readFiles(bootstrapPaths(serverDir, false));
  return formatContent(new Map([...stored, ...onDisk, ["PasswdFile", users]]));
}

/** Also over what an earlier change to the same token left when it was cut off. */
async function put({ store, newToken }: TokenChangeOptions, key: string, value: string): Promise<boolean> {
  const there = await read(store, key);
  if (there === undefined) return await store.create(key, value);
  if (there.value !== "") await decryptRecord(there.value, newToken);
  return await store.update(key, value, there.modRevision);
}

async function read(store: BootstrapStore, key: string): Promise<BootstrapEntry | undefined> {
  return (await store.list(key)).find((entry) => entry.key === key);
}
