import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import type { Driver } from "@k3s/datastore";
import {
  batchOf,
  collectLog,
  creations,
  largeBatchConformance,
  lifeOf,
  oldValuesConformance,
  until,
} from "@k3s/testkit";
import { TestDatabase } from "./support/test-database.ts";
import { openMysqlDriver } from "../src/index.ts";

const database = TestDatabase.forFile({ args: () => ["--max-allowed-packet=4M"] });
const MIB = 1024 * 1024;

const OLD_VALUES = "SELECT id, LENGTH(value), LENGTH(old_value), LEFT(old_value, 3) FROM kine ORDER BY id";

const WAITING = "SELECT COUNT(*) FROM information_schema.INNODB_TRX WHERE trx_state='LOCK WAIT'";

describe("commit() in MariaDB", () => {
  oldValuesConformance(database, OLD_VALUES);

  test("takes more than one packet of rows as one transaction", async (t) => {
    const name = database.newName();
    const driver = await database.open(t, { dsn: database.dsn(name) });
    const large = creations(0, "/a", "/b", "/c").rows.map((row) => ({
      ...row,
      value: Buffer.alloc(1.5 * MIB, row.name),
    }));
    const small = creations(3, ...Array.from({ length: 20_000 }, (_, i) => `/small/${i}`)).rows;
    await driver.commit(batchOf(0, [...large, ...small]));
    const rows = await driver.heads(0, 30_000);
    assert.equal(rows.length, 20_003);
    const [value] = await driver.values([2]);
    assert.equal(value?.equals(Buffer.alloc(1.5 * MIB, "/b")), true);
    await assert.rejects(driver.commit(batchOf(0, [...large, ...small])), { kind: "conflict" });
    const clash = [
      ...small.map((row) => ({ ...row, id: row.id + 20_000, name: `${row.name}x` })),
      ...lifeOf("/a", 40_003, 1),
    ];
    await assert.rejects(driver.commit(batchOf(20_003, clash)), { kind: "conflict" });
    assert.equal((await driver.shared?.position())?.lastRow, 20_003);
  });

  largeBatchConformance((t) => database.open(t));

  test("refuses a row that the table cannot hold, wherever it stands in a large batch, and writes nothing", async (t) => {
    const driver = await database.open(t);
    const small = creations(0, ...Array.from({ length: 2500 }, (_, i) => `/many/${i}`)).rows;
    const rows = small.map((row) => (row.id === 2200 ? { ...row, name: `/${"x".repeat(700)}` } : row));
    await assert.rejects(driver.commit(batchOf(0, rows)), { kind: "refused", message: /its key takes 701 bytes/ });
    assert.equal((await driver.shared?.position())?.lastRow, 0);
    await driver.commit(batchOf(0, small));
  });

  describe("in a table that compares names loosely", () => {
    /** A driver on such a table, with the key "/a" in its first row. */
    async function openLoose(t: TestContext, name: string): Promise<Driver> {
      await database.open(t, { dsn: database.dsn(name) });
      await database.sql(t, name, "ALTER TABLE kine MODIFY name VARCHAR(630) CHARACTER SET ascii");
      const driver = await database.open(t, { dsn: database.dsn(name) });
      await driver.commit(creations(0, "/a"));
      return driver;
    }

    test("tells a conflict of more rows than a packet holds as one", async (t) => {
      const name = database.newName();
      const driver = await openLoose(t, name);
      const kine = await database.connect(t, name);
      const columns = "id,name,created,deleted,create_revision,prev_revision,lease";
      await kine.query(`START TRANSACTION; INSERT INTO kine (${columns}) VALUES (15000,'/b',1,0,0,0,0)`);
      const keys = Array.from({ length: 20_000 }, (_, i) => `/${"x".repeat(230)}/${i}`);
      const refused = assert.rejects(driver.commit(creations(1, ...keys)), { kind: "conflict" });
      await until("the commit meets the row", async () => {
        const [[count] = []] = await database.sql(t, name, WAITING);
        return Number(count) > 0;
      });
      await kine.query("COMMIT");
      await refused;
    });

    test("tells it from keys that are the same to the table, wherever they stand among many", async (t) => {
      const driver = await openLoose(t, database.newName());
      const keys = Array.from({ length: 120 }, (_, i) => `/many/${i}`);
      const same = { kind: "refused", message: /the same as "\/a"/ };
      await assert.rejects(driver.commit(creations(1, "/A", ...keys)), same);
      await assert.rejects(driver.commit(creations(1, ...keys, "/A")), same);
      await assert.rejects(driver.commit(creations(1, ...keys, "/a")), { kind: "conflict" });
      const beside = { kind: "refused", message: /the same as another key written at the same time/ };
      await assert.rejects(driver.commit(creations(1, ...keys, "/MANY/7")), beside);
    });
  });

  test("refuses a value that no packet can hold, before anything is sent", async (t) => {
    const driver = await database.open(t);
    const [row] = creations(0, "/a").rows;
    assert.ok(row);
    const commit = driver.commit(batchOf(0, [{ ...row, value: Buffer.alloc(2 * MIB) }]));
    const message = /Cannot write a value of 2097152 bytes: max_allowed_packet is 4194304; raise it/;
    await assert.rejects(commit, { kind: "refused", message });
  });

  test("keeps bytes and 64-bit numbers as they are", async (t) => {
    const name = database.newName();
    const driver = await database.open(t, { dsn: database.dsn(name) });
    const bytes = Buffer.from(Array.from({ length: 1024 }, (_, i) => i % 256));
    const id = 2 ** 53 - 2;
    const rows = creations(id - 1, "/a").rows.map((row) => ({ ...row, value: bytes, createRevision: id, lease: -5n }));
    const lease = { id: -5n, ttlSeconds: 2 ** 40, expiresAtMs: 8_640_000_000_000_000 };
    await driver.commit(creations(0));
    await driver.commit({ ...batchOf(0, rows), leases: [lease] });
    const [head] = await driver.heads(0, 1);
    assert.deepEqual([head?.id, head?.createRevision], [id, id]);
    assert.equal((await driver.values([id]))[0]?.equals(bytes), true);
    const { leases, rowLeases } = await driver.side();
    assert.deepEqual([leases, [...rowLeases]], [[lease], [[id, -5n]]]);
  });

  test("a driver with few connections still commits, reads and polls", async (t) => {
    const dsn = database.dsn(database.newName());
    const pool = { maxOpen: 1, maxIdle: 0, lifetimeMs: 50, idleMs: 20 };
    const driver = await openMysqlDriver({ dsn, pool, log: collectLog().log, signal: AbortSignal.timeout(10_000) });
    t.after(() => driver.close());
    for (let i = 0; i < 50; i++) {
      await driver.commit(creations(i, `/${i}`));
      assert.equal((await driver.heads(i, 10)).length, 1);
    }
    await until("the connection that may not idle is closed", () => Promise.resolve(driver.connections?.().open === 1));
    const stats = driver.connections?.() ?? assert.fail();
    assert.deepEqual([stats.limit, stats.inUse, stats.waits], [2, 0, 0]);
    assert.ok(stats.closed.spare > 0);
    await until("a connection is replaced when it is old", async () => {
      await driver.prune({ rows: [], spansUpTo: 0 });
      return (driver.connections?.().closed.old ?? 0) > 0;
    });
  });

  test("connections are counted while statements wait for them, and are closed when nothing ran on them", async (t) => {
    const dsn = database.dsn(database.newName());
    const pool = { idleMs: 20 };
    const driver = await openMysqlDriver({ dsn, pool, log: collectLog().log, signal: AbortSignal.timeout(10_000) });
    t.after(() => driver.close());
    const reads = Array.from({ length: 9 }, () => driver.heads(0, 10));
    assert.equal(driver.connections?.().waits, 6);
    await Promise.all(reads);
    await until("they are closed", () => Promise.resolve(driver.connections?.().open === 0));
    const stats = driver.connections?.() ?? assert.fail();
    assert.deepEqual([stats.limit, stats.closed], [4, { spare: 0, idle: 3, old: 0 }]);
    assert.ok(stats.waitSeconds > 0);
  });
});
