import { existsSync } from "node:fs";
import { join } from "node:path";

/** The worker's code: its source file in the source tree, its own bundle beside this one in the product. */
export function workerUrl(): URL {
  const source = new URL("./sqlite-worker.ts", import.meta.url);
  return existsSync(source) ? source : new URL("./sqlite-worker.js", import.meta.url);
}

/** SQLite's native part beside the bundle; undefined in the source tree, where the library finds its own. */
export function bundledAddon(): string | undefined {
  const path = join(import.meta.dirname, "better_sqlite3.node");
  return existsSync(path) ? path : undefined;
}
