import { existsSync } from "node:fs";
import { join } from "node:path";

/** SQLite's native part beside the bundle; undefined in the source tree, where the library finds its own. */
export function bundledAddon(): string | undefined {
  const path = join(import.meta.dirname, "better_sqlite3.node");
  return existsSync(path) ? path : undefined;
}
