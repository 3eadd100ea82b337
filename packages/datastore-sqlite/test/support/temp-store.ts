import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { retry } from "@k3s/async";
import { openStore, type OpenStore, type StoreOptions } from "@k3s/datastore";
import { createLogger } from "@k3s/log";
import { openSqliteDriver } from "../../src/index.ts";

export const silent = createLogger({ level: "error", format: "json", write: () => undefined });

/** A folder that is gone after the test. */
export async function tempFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "k3s-datastore-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** A database path inside a folder of its own. */
export async function tempDatabase(t: TestContext): Promise<string> {
  return join(await tempFolder(t), "db", "state.db");
}

/** Opens a store with kine's health key on a file and closes it after the test. */
export async function storeAt(t: TestContext, path: string, options: Partial<StoreOptions> = {}): Promise<OpenStore> {
  const driver = await openSqliteDriver({ path, log: silent });
  const store = await openStore(driver, { log: silent, healthKey: true, ...options });
  t.after(() => store.close());
  return store;
}

/** A new store in a temporary folder. */
export async function tempStore(t: TestContext, options: Partial<StoreOptions> = {}): Promise<OpenStore> {
  return storeAt(t, await tempDatabase(t), options);
}

/** A new store without any key. */
export async function emptyStore(t: TestContext): Promise<OpenStore> {
  return tempStore(t, { healthKey: false });
}

/** Waits until `check` no longer throws: for what happens in the background. */
export async function eventually(check: () => Promise<void>): Promise<void> {
  await retry(check, { delayMinMs: 20, delayMaxMs: 200 }, AbortSignal.timeout(20_000));
}
