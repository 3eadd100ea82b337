import assert from "node:assert/strict";
import { test } from "node:test";
import { DriverError } from "@k3s/datastore";
import type { SqlSession } from "../src/index.ts";
import { SnapshotReader } from "../src/index.ts";

test("SnapshotReader does not call a database that does not answer one that refuses", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const session: SqlSession = {
    lost: new AbortController().signal,
    end: () => Promise.resolve(),
    destroy: () => undefined,
  };
  const never = () => new Promise<never>(() => undefined);
  const refuse = () => Promise.reject(new Error("No such table"));
  const queries = { product: "MySQL", heads: never, side: refuse, values: never, size: never };
  const reader = new SnapshotReader({ session, queries, findings: never });
  const read = assert.rejects(reader.heads(0, 1), (error) => {
    assert.ok(error instanceof DriverError);
    assert.equal(error.message, "Cannot read the table: MySQL did not answer in time");
    assert.match(String(error.cause), /Reading rows took longer than 30 s$/);
    return true;
  });
  t.mock.timers.tick(30_000);
  t.mock.timers.tick(1000);
  await read;
  await assert.rejects(reader.side(), { message: "Cannot read the table: MySQL refused it" });
});
