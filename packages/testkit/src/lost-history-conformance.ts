import assert from "node:assert/strict";
import { test } from "node:test";
import { sleep } from "@k3s/async";
import { collectLog } from "./collect-log.ts";
import type { SqlTestDatabase } from "./sql-test-database.ts";
import { contents, isUnavailable, put, query, rangeOf, write } from "./store-ops.ts";
import { until } from "./until.ts";

/** How often a server compares the end of the table. */
const COMPARE_MS = 1000;
/** More than end at once. */
const LEASED_KEYS = 70;
const TTL_SECONDS = 15;
const WHY = "the database lacks changes that were acknowledged";

/** What becomes of a server whose database goes back to before its last commits, as a replica or a backup does, as tests. */
export function lostHistoryConformance(database: SqlTestDatabase): void {
  test("a server whose database has gone back serves nothing, says why, and goes on once all is there again", async (t) => {
    const name = database.newName();
    const { log, lines } = collectLog();
    const store = await database.store(t, name, log);
    for (const key of ["/a", "/b", "/c"]) await store.txn(write(key, 0, "v"));
    const before = await contents(store);
    const [first] = await database.sql(t, name, "SELECT MAX(id) - 1 FROM kine");
    const later = `FROM kine WHERE id >= ${String(first?.[0])}`;
    await database.sql(t, name, `CREATE TABLE later AS SELECT * ${later}`, `DELETE ${later}`);
    for (const attempt of [() => store.txn(write("/d", 0, "v")), () => contents(store)])
      await assert.rejects(attempt, isLoss);
    const told = await until("the log tells it", () => {
      const found = lines.filter((line) => line.includes("has gone back"));
      return Promise.resolve(found.length > 0 && found);
    });
    assert.equal(told.length, 1);
    assert.match(
      told[0] ?? "",
      /lost changes that were acknowledged: its last row is .*"cure":"let the endpoint lead to/,
    );

    await database.sql(t, name, "INSERT INTO kine SELECT * FROM later");
    await until("reads are served again", () => contents(store).then(() => true));
    assert.deepEqual(await contents(store), before);
    await until("writes are served again", () => store.txn(write("/d", 0, "v")).then(() => true));
  });

  test("a server that knows lost changes does not go on behind those that were written in their place", async (t) => {
    const name = database.newName();
    const store = await database.store(t, name);
    for (const key of ["/a", "/b"]) await store.txn(write(key, 0, "v"));
    await sleep(COMPARE_MS);
    await database.sql(t, name, "DELETE FROM kine WHERE name = '/b'");
    const other = await database.store(t, name);
    for (const key of ["/x", "/y", "/z"]) await other.txn(write(key, 0, "v"));
    await assert.rejects(store.txn(write("/d", 0, "v")), isLoss);
    await assert.rejects(contents(store), isLoss);
    assert.deepEqual(
      (await contents(other)).map((line) => line.split("=")[0]),
      ["/a", "/registry/health", "/x", "/y", "/z"],
    );
  });

  test("a server that has found the loss is not deceived by as many changes in the place of the lost ones", async (t) => {
    const name = database.newName();
    const store = await database.store(t, name);
    for (const key of ["/a", "/b"]) await store.txn(write(key, 0, "v"));
    await sleep(COMPARE_MS);
    await database.sql(t, name, "DELETE FROM kine WHERE name = '/b'");
    await assert.rejects(contents(store), isLoss);
    const other = await database.store(t, name);
    await other.txn(write("/b", 0, "another value"));
    for (let i = 0; i < 3; i++) {
      await assert.rejects(contents(store), isLoss);
      await sleep(COMPARE_MS); // it looks again and again meanwhile
    }
    await assert.rejects(store.txn(write("/c", 0, "v")), isLoss);
  });

  test("a row that somebody deleted in the table fails what needs it, and nothing else", async (t) => {
    const name = database.newName();
    const first = await database.store(t, name);
    const keys = Array.from({ length: LEASED_KEYS }, (_, n) => `/leased/${n}`);
    await Promise.all(
      keys.map(async (key) => {
        const { id } = await first.leaseGrant({ id: 0n, ttlSeconds: TTL_SECONDS });
        await first.txn({ ...write(key, 0, "v"), success: [{ ...put(key, "v"), lease: id }] });
      }),
    );
    const store = await database.store(t, name); // it has read no values
    await first.close();
    await database.sql(t, name, "DELETE FROM kine WHERE name = '/leased/0'");
    await store.compact(Number(store.currentRevision));
    await assert.rejects(store.range(query(rangeOf("/leased/0"))), isUnavailable);
    const left = await until("all other leases have ended", async () => {
      const ids = await store.leaseList();
      return ids.length <= 1 && ids;
    });
    assert.equal(left.length, 1);
    assert.equal((await store.range(query(rangeOf("/leased/", "/leased0"), { countOnly: true }))).count, 1);
    await store.txn(write("/other", 0, "v"));
  });
}

function isLoss(error: unknown): boolean {
  return isUnavailable(error) && String(error).includes(WHY);
}
