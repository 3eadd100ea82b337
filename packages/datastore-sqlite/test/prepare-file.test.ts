import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { promisify } from "node:util";
import { createLogger } from "@k3s/log";
import { creations, SmallDisk } from "@k3s/testkit";
import { openSqliteDriver } from "../src/open-sqlite-driver.ts";
import { prepareFile } from "../src/prepare-file.ts";
import { SpaceReserve } from "../src/space-reserve.ts";
import { WorkerChannel } from "../src/worker-channel.ts";
import { sql } from "./support/python.ts";
import { tempDatabase, tempFolder } from "./support/temp-store.ts";

const run = promisify(execFile);
const INDEXES = "SELECT name FROM sqlite_schema WHERE type = 'index' ORDER BY name";

/** A logger that keeps its warnings. */
function collectLog() {
  const lines: string[] = [];
  return { log: createLogger({ level: "warn", format: "text", write: (line) => lines.push(line) }), lines };
}

/** Makes a file with 80 MiB of names on a disk of 150: what is left is not little, but less than an index of them takes. */
async function fillNearly(disk: SmallDisk): Promise<string> {
  const path = join(disk.folder, "state.db");
  const columns = "create_revision INTEGER, prev_revision INTEGER, lease INTEGER, value BLOB, old_value BLOB";
  const table = "id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, created INTEGER, deleted INTEGER";
  const insert = `WITH RECURSIVE ids(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM ids WHERE id < 80)
    INSERT INTO kine SELECT id, '/' || id || hex(zeroblob(${512 * 1024})), 1, 0, 0, 0, 0, x'', NULL FROM ids`;
  await sql(path, `CREATE TABLE kine (${table}, ${columns})`, insert);
  return path;
}

describe("prepareFile()", () => {
  test("makes kine's guard for a program that opened the file while the tables were made", async (t) => {
    const path = await tempDatabase(t);
    await mkdir(dirname(path));
    await writeFile(path, "");
    const settings = { path, isReadOnly: false, cachePages: -2048, busyTimeoutMs: 1000, synchronous: "FULL" } as const;
    const writer = new WorkerChannel({ ...settings, autoVacuum: "NONE", secureDelete: undefined });
    t.after(() => writer.close());
    const { log, lines } = collectLog();
    const answers = [false, true];
    const others = { areThere: () => answers.shift() ?? assert.fail() };
    const reserve = await SpaceReserve.open(`${path}.reserve`, log);
    await prepareFile(writer, { path, log, checkpoints: "own", reserve, others });
    assert.deepEqual(await sql(path, INDEXES), [["kine_heads_index"], ["kine_name_prev_revision_uindex"]]);
    assert.match(lines.join(""), /another program has the datastore open/);
  });

  test("warns where the disk has no room for the index, goes on without it, and makes it at a start that has room", async (t) => {
    await using disk = await SmallDisk.mount(await tempFolder(t), "150m");
    const path = await fillNearly(disk);
    const { log, lines } = collectLog();
    const driver = await openSqliteDriver({ path, log });
    t.after(() => driver.close());
    assert.match(lines.join(""), /WARN {2}cannot make the index that a start reads, starts take longer/);
    assert.deepEqual(
      (await driver.heads(79, 10)).map(({ id }) => id),
      [80],
    );
    await driver.commit(creations(80, "/b"));
    await driver.close();
    assert.deepEqual(await sql(path, INDEXES), []);
    await run("mount", ["-o", "remount,size=400m", disk.folder]);
    lines.length = 0;
    const again = await openSqliteDriver({ path, log });
    t.after(() => again.close());
    assert.deepEqual(
      (await again.heads(80, 10)).map(({ name }) => name),
      ["/b"],
    );
    await again.close();
    assert.deepEqual([await sql(path, INDEXES), lines], [[["kine_heads_index"]], []]);
  });
});
