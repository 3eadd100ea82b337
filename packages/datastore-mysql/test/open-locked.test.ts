import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { collectLog, creations, KINE_INSERT, rowIds, until } from "@k3s/testkit";
import { openMysqlDriver } from "../src/open-mysql-driver.ts";
import { TestDatabase } from "./support/test-database.ts";

const database = TestDatabase.forFile();

/** Shorter than a statement waits for a lock. */
const AT_ONCE_MS = 2000;

/** Opens a driver on the named database; the test closes it. */
function open(t: TestContext, name: string) {
  const stop = new AbortController();
  const { log, lines } = collectLog();
  const opening = openMysqlDriver({ dsn: database.dsn(name), log, signal: stop.signal });
  let hasEnded = false;
  const ended = opening.then(
    () => (hasEnded = true),
    () => (hasEnded = true),
  );
  t.after(async () => {
    stop.abort();
    await ended;
    await opening.then((driver) => driver.close()).catch(() => undefined);
  });
  return { opening, lines, stop, hasEnded: () => Promise.resolve(hasEnded) };
}

/** Until one of the statements that make what is missing does not go on. */
async function untilWaiting(t: TestContext): Promise<void> {
  const admin = await database.connect(t);
  await until("a statement waits for the lock", async () => {
    const [threads] = await admin.query("SHOW PROCESSLIST");
    const rows = (threads as unknown[][]).map(([, , , , , , state, info]) => `${String(state)}: ${String(info)}`);
    return rows.some((row) => /waiting for .*: (?:CREATE|INSERT)/i.test(row));
  });
}

/** Makes the tables, unless the database is to be made as well. */
async function prepare(t: TestContext, { isNew }: { readonly isNew: boolean }): Promise<string> {
  const name = database.newName();
  if (isNew) return name;
  const driver = await database.open(t, { dsn: database.dsn(name) });
  await driver.commit(creations(0, "/a"));
  return name;
}

describe("openMysqlDriver() while a backup holds the global read lock", () => {
  for (const isNew of [false, true])
    test(`says so in the log, and goes on when it is over (${isNew ? "new" : "known"} database)`, async (t) => {
      const name = await prepare(t, { isNew });
      const backup = await database.connect(t);
      await backup.query("FLUSH TABLES WITH READ LOCK");
      const { opening, lines } = open(t, name);
      await until("the log is told", () => Promise.resolve(lines.length > 0), 20_000);
      assert.match(lines.join(""), /"hint":"[^"]*locks[^"]*backup[^"]*".*waiting for the database/);
      await untilWaiting(t);
      await backup.query("UNLOCK TABLES");
      assert.deepEqual(await rowIds(await opening), isNew ? [] : [1]);
      assert.equal(lines.length, 1);
    });

  for (const isNew of [false, true])
    test(`ends at once when it is told to (${isNew ? "new" : "known"} database)`, async (t) => {
      const name = await prepare(t, { isNew });
      const backup = await database.connect(t);
      await backup.query("FLUSH TABLES WITH READ LOCK");
      const { opening, stop, hasEnded } = open(t, name);
      await untilWaiting(t);
      stop.abort();
      await until("it has ended", hasEnded, AT_ONCE_MS).finally(() => backup.query("UNLOCK TABLES"));
      await assert.rejects(opening, { name: "MysqlError" });
    });

  test("a server that stands still meanwhile is given up, said in the log, and used when it goes on", async (t) => {
    const name = await prepare(t, { isNew: false });
    const backup = await database.connect(t);
    await backup.query("FLUSH TABLES WITH READ LOCK");
    const { opening, lines } = open(t, name);
    await untilWaiting(t);
    await database.server.freeze();
    try {
      await until("the log is told", () => Promise.resolve(lines.length > 0), 30_000);
      assert.match(lines.join(""), /took longer than 10 s.*"hint":"[^"]*stands still/);
    } finally {
      database.server.thaw();
    }
    await backup.query("UNLOCK TABLES");
    assert.deepEqual(await rowIds(await opening), [1]);
  });
});

test("openMysqlDriver() waits for a table that somebody has locked before it makes the unique index of an old one", async (t) => {
  const name = database.newName();
  const { opening: first } = open(t, name);
  await (await first).close();
  await database.sql(
    t,
    name,
    "DROP INDEX kine_name_prev_revision_uindex ON kine",
    `${KINE_INSERT} ('/a',1,0,0,0,0,'1')`,
  );
  const backup = await database.connect(t, name);
  await backup.query("LOCK TABLES kine READ");
  const { opening, lines } = open(t, name);
  await until("the log is told", () => Promise.resolve(lines.some((line) => line.includes("waiting for"))), 20_000);
  await backup.query("UNLOCK TABLES");
  assert.deepEqual(await rowIds(await opening), [1]);
});
