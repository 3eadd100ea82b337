import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { createLogger } from "@k3s/log";
import { FORBIDDING, refusalConformance } from "@k3s/testkit";
import { sql } from "./support/python.ts";
import { storeAt, tempDatabase } from "./support/temp-store.ts";

refusalConformance("SQLite", async (t) => {
  const path = await tempDatabase(t);
  await mkdir(dirname(path));
  await sql(
    path,
    `CREATE TABLE kine (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, created INTEGER, deleted INTEGER, create_revision INTEGER,
      prev_revision INTEGER, lease INTEGER, value BLOB, old_value BLOB, ${FORBIDDING})`,
  );
  const lines: string[] = [];
  const log = createLogger({ level: "info", format: "json", write: (line) => lines.push(line) });
  return { stores: [await storeAt(t, path, { log })], lines };
});
