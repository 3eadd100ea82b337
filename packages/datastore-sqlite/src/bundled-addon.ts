import { existsSync } from "node:fs";
import { join } from "node:path";
import { embeddedFile, isOneFile } from "@k3s/native";

const NAME = "better_sqlite3.node";

/** SQLite's native part inside the executable or beside a bundle; undefined in the source tree, where the library finds its own. */
export function bundledAddon(): string | undefined {
  if (isOneFile()) return embeddedFile(NAME);
  const path = join(import.meta.dirname, NAME);
  return existsSync(path) ? path : undefined;
}
