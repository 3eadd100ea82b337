import assert from "node:assert/strict";
import { test } from "node:test";
import { describeError } from "@k3s/errors";
import { collectLog, write } from "@k3s/testkit";
import { TestDatabase } from "./support/test-database.ts";

const database = TestDatabase.forFile();

test("a put that somebody's lock on the table keeps back is not called refused", async (t) => {
  const name = database.newName();
  const store = await database.store(t, name);
  const other = await database.connect(t, name);
  await other.query("BEGIN; LOCK TABLE kine IN SHARE MODE");
  await assert.rejects(store.txn(write("/a", 0, "1")), (error) => {
    assert.match(describeError(error), /PostgreSQL was held back by other transactions: .*lock timeout$/);
    return true;
  });
  await other.query("ROLLBACK");
  assert.equal((await store.txn(write("/b", 0, "1"))).succeeded, true);
});

test("a put that takes too long is not called refused, and the log names locks", async (t) => {
  const name = database.newName();
  const { log, lines } = collectLog();
  const store = await database.store(t, name, log);
  await database.sql(
    ...[t, name],
    "CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(60); RETURN NEW; END'",
    "CREATE TRIGGER late BEFORE INSERT ON kine FOR EACH ROW EXECUTE FUNCTION late()",
  );
  await assert.rejects(store.txn(write("/a", 0, "1")), (error) => {
    assert.match(describeError(error), /PostgreSQL did not answer in time: A commit took longer than 10 s$/);
    return true;
  });
  assert.match(lines.join(""), /"hint":"[^"]*locks[^"]*long transactions.*does not answer in time/);
});
