import assert from "node:assert/strict";
import { test } from "node:test";
import { describeError } from "@k3s/errors";
import { collectLog, write } from "@k3s/testkit";
import { TestDatabase } from "./support/test-database.ts";

const database = TestDatabase.forFile();

test("a put that somebody's lock on the table keeps back is not called refused, and the log names locks", async (t) => {
  const name = database.newName();
  const { log, lines } = collectLog();
  const store = await database.store(t, name, log);
  const backup = await database.connect(t, name);
  await backup.query("LOCK TABLES kine READ");
  await assert.rejects(store.txn(write("/a", 0, "1")), (error) => {
    assert.match(describeError(error), /MySQL did not answer in time: A commit took longer than 10 s$/);
    return true;
  });
  assert.match(lines.join(""), /"hint":"[^"]*locks[^"]*long transactions.*does not answer in time/);
  await backup.query("UNLOCK TABLES");
  assert.equal((await store.txn(write("/b", 0, "1"))).succeeded, true);
  assert.match(lines.join(""), /the database can be used again/);
});
