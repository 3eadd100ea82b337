import assert from "node:assert/strict";
import { readdirSync, readlinkSync } from "node:fs";
import { chmod, mkdir, open, readFile, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, test } from "node:test";
import { deadline, nextTurn } from "@k3s/async";
import { NodeError } from "@k3s/errors";
import { flock } from "@k3s/native";
import { driverConformance } from "@k3s/testkit";
import { openSqliteDriver } from "../src/index.ts";
import { sql } from "./support/python.ts";
import { silent, storeAt, tempDatabase } from "./support/temp-store.ts";
import { create } from "./support/ops.ts";

driverConformance("SQLite", async (t) => {
  const driver = await openSqliteDriver({ path: await tempDatabase(t), log: silent });
  t.after(() => driver.close());
  return driver;
});

const code = (expected: string) => (error: unknown) =>
  error instanceof NodeError && error.code === expected && error.hint !== undefined;

/** How many descriptors of this process are open on a file, now: a turn of the event loop later another may be closed again. */
function countOpen(path: string): number {
  const targets = readdirSync("/proc/self/fd").map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return ""; // that of the folder itself
    }
  });
  return targets.filter((target) => target === path).length;
}

/** Looks in each turn of the event loop: what is waited for is there for a few of them only. */
async function turnsUntil(check: () => boolean): Promise<void> {
  using limit = deadline(30_000, "Waiting for the lock's file");
  while (!check()) {
    limit.throwIfAborted();
    await nextTurn();
  }
}

describe("openSqliteDriver()", () => {
  const refused = [
    {
      name: "is no database",
      code: "ERR_SQLITE_NOT_A_DATABASE",
      make: (path: string) => writeFile(path, "x".repeat(8192)),
    },
    {
      name: "has another table kine",
      code: "ERR_SQLITE_OTHER_SCHEMA",
      make: (path: string) => sql(path, "CREATE TABLE kine (id INTEGER PRIMARY KEY, name TEXT)"),
    },
    {
      name: "was written by a newer version",
      code: "ERR_SQLITE_NEWER_SCHEMA",
      make: (path: string) => sql(path, "PRAGMA user_version = 99"),
    },
    { name: "is a folder", code: "ERR_SQLITE_IS_FOLDER", make: (path: string) => mkdir(path) },
  ];
  for (const { name, code: expected, make } of refused) {
    test(`refuses a file that ${name}, and gives the lock back`, async (t) => {
      const path = await tempDatabase(t);
      await mkdir(dirname(path));
      await make(path);
      for (let i = 0; i < 2; i++) await assert.rejects(openSqliteDriver({ path, log: silent }), code(expected));
    });
  }

  test("refuses a folder it cannot make", async (t) => {
    const file = await tempDatabase(t);
    await mkdir(dirname(file));
    await writeFile(file, "");
    for (const path of [join(file, "db", "state.db"), join(file, "state.db"), "/proc/state.db"])
      await assert.rejects(openSqliteDriver({ path, log: silent }), code("ERR_SQLITE_NO_FOLDER"), path);
  });

  test("refuses a file that another server has open, by its process id", async (t) => {
    const path = await tempDatabase(t);
    await storeAt(t, path);
    await assert.rejects(openSqliteDriver({ path, log: silent }), (error: unknown) => {
      assert.ok(code("ERR_SQLITE_LOCKED")(error));
      assert.match(String(error), new RegExp(`process ${process.pid}`));
      return true;
    });
  });

  test("opens a file whose lock somebody only looks at, who is gone in a moment", async (t) => {
    const path = await tempDatabase(t);
    await mkdir(dirname(path));
    const look = await open(`${path}.lock`, "a+");
    assert.ok(flock(look.fd));
    await look.writeFile("4711\n"); // what the last owner has left there
    const opening = openSqliteDriver({ path, log: silent });
    await turnsUntil(() => countOpen(`${path}.lock`) === 2);
    await turnsUntil(() => countOpen(`${path}.lock`) === 1); // it was refused
    await look.close();
    const driver = await opening;
    t.after(() => driver.close());
    assert.equal(await readFile(`${path}.lock`, "utf8"), `${process.pid}\n`);
  });

  test("finds damage after an unclean stop", async (t) => {
    const path = await tempDatabase(t);
    const store = await storeAt(t, path);
    await Promise.all(Array.from({ length: 300 }, (_, i) => store.txn(create(`/a/${i}`, "v".repeat(500)))));
    await store.close();
    const bytes = await readFile(path);
    bytes.fill(0x5a, 8192, 8192 + 20 * 4096);
    await writeFile(path, bytes);
    await writeFile(`${path}-wal`, "not empty");
    await assert.rejects(openSqliteDriver({ path, log: silent }), code("ERR_SQLITE_CORRUPT"));
  });

  test("leaves an existing folder's mode alone and makes all files private", async (t) => {
    const path = await tempDatabase(t);
    await mkdir(dirname(path));
    await chmod(dirname(path), 0o750);
    const store = await storeAt(t, path);
    await store.txn(create("/a", "1"));
    for (const file of [path, `${path}-wal`, `${path}-shm`, `${path}.lock`])
      assert.equal((await stat(file)).mode & 0o777, 0o600, file);
    assert.equal((await stat(dirname(path))).mode & 0o777, 0o750);
  });

  test("writes its log back while it works and leaves none when it closes", async (t) => {
    const path = await tempDatabase(t);
    const store = await storeAt(t, path);
    for (let i = 0; i < 40; i++)
      await Promise.all(Array.from({ length: 20 }, (_, j) => store.txn(create(`/a/${i}/${j}`, "v".repeat(20_000)))));
    const wal = (await stat(`${path}-wal`)).size;
    assert.ok(wal < 40_000_000, `log has ${wal} bytes`);
    assert.ok((await stat(path)).size > 1_000_000);
    await store.close();
    await assert.rejects(stat(`${path}-wal`));
    assert.deepEqual(await sql(path, "PRAGMA integrity_check"), [["ok"]]);
  });
});
