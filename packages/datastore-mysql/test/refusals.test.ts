import assert from "node:assert/strict";
import { test } from "node:test";
import { collectLog, FORBIDDING, isRefused, refusalConformance, write } from "@k3s/testkit";
import { TestDatabase } from "./support/test-database.ts";

const database = TestDatabase.forFile();

refusalConformance("MariaDB", async (t) => {
  const name = database.newName();
  await (await database.store(t, name)).close();
  await database.sql(t, name, `ALTER TABLE kine ADD ${FORBIDDING}`);
  const { log, lines } = collectLog();
  return { stores: [await database.store(t, name, log), await database.store(t, name, log)], lines };
});

test("a value that is longer than the old column BLOB is refused alone, the client hears the cure, and it helps", async (t) => {
  const name = database.newName();
  await database.sql(
    ...[t, name],
    `CREATE TABLE kine (id BIGINT UNSIGNED AUTO_INCREMENT, name VARCHAR(630) CHARACTER SET ascii COLLATE ascii_bin, created INTEGER,
      deleted INTEGER, create_revision BIGINT UNSIGNED, prev_revision BIGINT UNSIGNED, lease INTEGER, value BLOB, old_value BLOB,
      PRIMARY KEY (id))`,
  );
  const { log, lines } = collectLog();
  const store = await database.store(t, name, log);
  const value = (bytes: number) => Buffer.alloc(bytes, "v");
  const put = (key: string, bytes: number) => store.txn(write(key, 0, value(bytes)));
  const [fits, large, beside] = await Promise.allSettled([
    put("/fits", 65_535),
    put("/large", 65_536),
    put("/beside", 1),
  ]);
  assert.equal(fits?.status, "fulfilled");
  assert.equal(beside?.status, "fulfilled");
  const cure = "ALTER TABLE kine MODIFY value MEDIUMBLOB, MODIFY old_value MEDIUMBLOB";
  const says = `a value of 65536 bytes: the table holds 65535; stop all servers and run: ${cure}`;
  assert.ok(large?.status === "rejected" && isRefused(large.reason, says), large?.status);
  assert.match(lines.join(""), /"valueMax":65535.*the table cannot hold large values/);
  await store.close();
  await database.sql(t, name, cure);
  const cured = await database.store(t, name);
  assert.equal((await cured.txn(write("/large", 0, value(65_536)))).succeeded, true);
});
