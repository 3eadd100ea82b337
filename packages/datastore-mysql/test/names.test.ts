import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { collectLog, contents, creations, isRefused, write } from "@k3s/testkit";
import { MysqlError } from "../src/errors.ts";
import { TestDatabase } from "./support/test-database.ts";

const database = TestDatabase.forFile();

const OLD_TABLE = (charset: string) => [
  `CREATE TABLE kine (id BIGINT UNSIGNED AUTO_INCREMENT, name VARCHAR(630) CHARACTER SET ${charset}, created INTEGER,
    deleted INTEGER, create_revision BIGINT UNSIGNED, prev_revision BIGINT UNSIGNED, lease INTEGER, value MEDIUMBLOB,
    old_value MEDIUMBLOB, PRIMARY KEY (id))`,
  "CREATE UNIQUE INDEX kine_name_prev_revision_uindex ON kine (name, prev_revision)",
];

describe("hard case 38, MySQL names", () => {
  const ODD = [
    "/a/B",
    "/a/b",
    "/a/b ",
    "/a/b  ",
    "/a/b\t",
    "/a/ü",
    "/a/u",
    "/a/日本",
    "/a/'\"\\`;--",
    "/a/%_",
    "/a/\x01",
  ];

  test("are distinct in a new table, whatever signs they have, and survive a restart", async (t) => {
    const name = database.newName();
    const store = await database.store(t, name);
    for (const key of ODD) assert.equal((await store.txn(write(key, 0, key))).succeeded, true, key);
    for (const key of ODD) assert.equal((await store.txn(write(key, 0, "again"))).succeeded, false, key);
    const before = await contents(store);
    assert.equal(before.length, ODD.length + 1);
    await store.close();
    assert.deepEqual(await contents(await database.store(t, name)), before);
  });

  test("that are plain stand in the table as they are, for kine", async (t) => {
    const name = database.newName();
    const store = await database.store(t, name);
    await store.txn(write("/registry/ClusterRole/system:a~b,c(d)?e", 0, "1"));
    const rows = await database.sql(t, name, "SELECT name FROM kine WHERE id = 3");
    assert.deepEqual(rows, [["/registry/ClusterRole/system:a~b,c(d)?e"]]);
  });

  for (const charset of ["ascii", "utf8mb4"]) {
    test(`D4 that an old ${charset} table takes for the same are refused with a clear error, and nothing is mixed up`, async (t) => {
      const name = database.newName();
      await database.sql(t, name, ...OLD_TABLE(charset));
      const { log, lines } = collectLog();
      const store = await database.store(t, name, log);
      await store.txn(write("/a/B", 0, "large"));
      await store.txn(write("/a/b ", 0, "padded"));
      const cure = `ALTER TABLE kine MODIFY name VARCHAR(630) CHARACTER SET ${charset} COLLATE ${charset}_bin`;
      const same = (key: string) =>
        `the same as "${key}", from which it differs in letter case or accents; run: ${cure}`;
      const isSame = (error: unknown) => isRefused(error, same("/a/B"));
      const [small, ...beside] = await Promise.allSettled(
        ["/a/b", "/b/1", "/b/2"].map((key) => store.txn(write(key, 0, "small"))),
      );
      assert.ok(small?.status === "rejected" && isSame(small.reason), small?.status);
      assert.ok(beside.every((outcome) => outcome.status === "fulfilled" && outcome.value.succeeded));
      await assert.rejects(store.txn(write("/a/b", 0, "small")), isSame);
      assert.equal(lines.filter((line) => line.includes("differs in letter case")).length, 1);
      assert.ok(lines.join("").includes(cure));
      const both = await Promise.allSettled([store.txn(write("/c/x", 0, "1")), store.txn(write("/c/X", 0, "2"))]);
      const lost = both.filter((outcome) => outcome.status === "rejected");
      assert.equal(lost.length, 1);
      assert.ok(isRefused(lost[0]?.reason, `the same as "/c/`), String(lost[0]?.reason));
      assert.equal((await store.txn(write("/a/ü", 0, "umlaut"))).succeeded, true);
      const expected = ["/a/B=large@3", "/a/b =padded@4"];
      assert.deepEqual((await contents(store)).slice(0, 2), expected);
      await store.close();
      await database.sql(t, name, cure);
      const cured = await database.store(t, name);
      assert.equal((await cured.txn(write("/a/b", 0, "small"))).succeeded, true);
      const keys = (await contents(cured)).map((line) => line.replace(/@.*/, ""));
      assert.deepEqual(keys.slice(0, 3), ["/a/B=large", "/a/b=small", "/a/b =padded"]);
      assert.ok(keys.includes("/a/ü=umlaut"));
    });

    test(`D4 that an old ${charset} table without the unique index has are not taken for the same, and need the cure first`, async (t) => {
      const name = database.newName();
      const [table = ""] = OLD_TABLE(charset);
      const row = (key: string) =>
        `INSERT INTO kine (name, created, deleted, create_revision, prev_revision, lease, value) VALUES ('${key}', 1, 0, 0, 0, 0, 'v')`;
      await database.sql(t, name, table, row("/a/B"), row("/a/b"), row("/a/B"));
      const refused = await database.open(t, { dsn: database.dsn(name) }).catch((error: unknown) => error);
      assert.ok(refused instanceof MysqlError, String(refused));
      assert.equal(refused.code, "ERR_MYSQL_LOOSE_NAMES");
      const cure = /run: (ALTER TABLE .*)$/.exec(refused.hint ?? "")?.[1] ?? "";
      await database.sql(t, name, cure);
      const keys = (await contents(await database.store(t, name))).filter((line) => line.startsWith("/a"));
      assert.deepEqual(keys, ["/a/B=v@3", "/a/b=v@2"]);
    });
  }

  test("in an old table: a conflict is still a conflict", async (t) => {
    const name = database.newName();
    await database.sql(t, name, ...OLD_TABLE("ascii"));
    const driver = await database.open(t, { dsn: database.dsn(name) });
    await driver.commit(creations(0, "/a"));
    await assert.rejects(driver.commit(creations(1, "/a")), { kind: "conflict" });
  });

  test("D10 of 630 bytes are kept, and longer ones refused before SQL", async (t) => {
    const driver = await database.open(t);
    const longest = `/${"x".repeat(629)}`;
    await driver.commit(creations(0, longest));
    const tooLong = driver.commit(creations(1, `${longest}y`));
    await assert.rejects(tooLong, /its key takes 631 bytes, the table holds 630/);
    assert.deepEqual(
      (await driver.heads(0, 10)).map(({ name }) => name),
      [longest],
    );
  });
});
