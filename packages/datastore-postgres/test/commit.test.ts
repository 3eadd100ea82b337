import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { batchOf, creations, largeBatchConformance, oldValuesConformance } from "@k3s/testkit";
import { TestDatabase } from "./support/test-database.ts";

const database = TestDatabase.forFile();

const OLD_VALUES = `SELECT id::int, length(value), length(old_value), convert_from(substring(old_value FROM 1 FOR 3), 'UTF8')
  FROM kine ORDER BY id`;

describe("commit() in PostgreSQL", () => {
  oldValuesConformance(database, OLD_VALUES);

  test("takes twenty thousand rows as one transaction, or none of them", async (t) => {
    const driver = await database.open(t);
    const { rows } = creations(0, ...Array.from({ length: 20_000 }, (_, i) => `/small/${i}`));
    await driver.commit(batchOf(0, rows));
    const clash = rows.map((row) => ({ ...row, id: row.id + 20_000, name: `${row.name}x` }));
    const [first] = rows;
    assert.ok(first);
    const batch = batchOf(20_000, [...clash, { ...first, id: 40_001 }]);
    await assert.rejects(driver.commit(batch), { kind: "conflict" });
    assert.equal((await driver.shared?.position())?.lastRow, 20_000);
  });

  largeBatchConformance((t) => database.open(t));

  test("refuses a row that the table cannot hold, wherever it stands in a large batch, and writes nothing", async (t) => {
    const driver = await database.open(t);
    const small = creations(0, ...Array.from({ length: 2500 }, (_, i) => `/many/${i}`)).rows;
    const rows = small.map((row) => (row.id === 2200 ? { ...row, name: `/${"x".repeat(2600)}` } : row));
    for (const isClaimed of [false, true]) {
      if (isClaimed) await driver.shared?.claim("servers");
      await assert.rejects(driver.commit(batchOf(0, rows)), { kind: "refused", message: /its key takes 2601 bytes/ });
      assert.equal((await driver.shared?.position())?.lastRow, 0);
    }
    await driver.commit(batchOf(0, small));
  });

  test("keeps bytes and 64-bit numbers as they are", async (t) => {
    const driver = await database.open(t);
    const bytes = Buffer.from(Array.from({ length: 1024 }, (_, i) => i % 256));
    const id = 2 ** 53 - 2;
    const rows = creations(id - 1, "/a").rows.map((row) => ({ ...row, value: bytes, createRevision: id, lease: -5n }));
    const lease = { id: -5n, ttlSeconds: 2 ** 40, expiresAtMs: 8_640_000_000_000_000 };
    await driver.commit({ ...batchOf(0, rows), leases: [lease] });
    const [head] = await driver.heads(id - 1, 1);
    assert.deepEqual([head?.id, head?.createRevision], [id, id]);
    assert.equal((await driver.values([id]))[0]?.equals(bytes), true);
    const { leases, rowLeases } = await driver.side();
    assert.deepEqual([leases, [...rowLeases]], [[lease], [[id, -5n]]]);
  });

  const refused = [
    { name: "a zero byte", key: "/a\0b", says: /its key has a zero byte/ },
    { name: "more than 2600 bytes", key: `/${"ü".repeat(1300)}`, says: /its key takes 2601 bytes/ },
  ];
  for (const { name, key, says } of refused) {
    test(`refuses a key with ${name}, before anything is sent`, async (t) => {
      const driver = await database.open(t);
      assert.match(driver.refusal?.(key, 0)?.state ?? "", says);
      await assert.rejects(driver.commit(creations(0, key)), { kind: "refused", message: says });
      const [longest, odd] = [`/${"x".repeat(2599)}`, "/a/ü日本 '\"\\%_\x01"];
      await driver.commit(creations(0, longest, odd, "/a/B", "/a/b", "/a/b "));
      const names = (await driver.heads(0, 10)).map((row) => row.name);
      assert.deepEqual(names, [longest, odd, "/a/B", "/a/b", "/a/b "]);
    });
  }

  test("goes on after the table was changed under prepared statements", async (t) => {
    const name = database.newName();
    const driver = await database.open(t, { dsn: database.dsn(name) });
    await driver.commit(creations(0, "/a"));
    assert.equal((await driver.heads(0, 10)).length, 1);
    await database.sql(t, name, "ALTER TABLE kine ALTER COLUMN name TYPE varchar(630)");
    for (let i = 0; i < 4; i++) assert.equal((await driver.heads(0, 10)).length, 1);
    await driver.commit(creations(1, "/b"));
  });

  test("a driver with few connections, and one that prepares nothing, still commit, read and poll", async (t) => {
    const dsn = database.dsn(database.newName(), "postgres", "?default_query_exec_mode=exec&jit=on&work_mem=8MB");
    const driver = await database.open(t, { dsn, pool: { maxOpen: 1, maxIdle: 0, lifetimeMs: 50, idleMs: 20 } });
    for (let i = 0; i < 50; i++) {
      await driver.commit(creations(i, `/${i}`));
      assert.equal((await driver.heads(i, 10)).length, 1);
    }
  });
});
