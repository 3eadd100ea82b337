import assert from "node:assert/strict";
import { rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { StoreError } from "@k3s/datastore";
import { collectLog, until, contents, query, rangeOf, remove, write } from "@k3s/testkit";
import { TestDatabase } from "./support/test-database.ts";

const database = TestDatabase.forFile();
const MIB = 1024 * 1024;

describe("the disk of MariaDB full", () => {
  test("is told as noSpace; reads go on, and writes too once there is room, without a restart", async (t) => {
    const { name, folder } = await database.onSmallDisk(t, "24M");
    const filler = join(folder, "filler");
    await writeFile(filler, Buffer.alloc(8 * MIB));
    const { log, lines } = collectLog();
    const store = await database.store(t, name, log);
    await store.txn(write("/first", 0, "1"));
    // Small values: MariaDB 10.11 itself ends when a large one does not fit.
    const fill = async () => {
      for (let i = 0; i < 5000; i++) await store.txn(write(`/fill/${i}`, 0, Buffer.alloc(4000)));
    };
    await assert.rejects(fill(), (error: unknown) => error instanceof StoreError && error.reason === "noSpace");
    const { kvs } = await store.range(query(rangeOf("/first")));
    assert.equal(kvs[0]?.value.toString(), "1");
    assert.match(lines.join(""), /its disk is full/);
    await rm(filler);
    await until("writes are served again", async () => (await store.txn(write("/second", 0, "2"))).succeeded);
    assert.equal((await store.txn(remove("/first", kvs[0]?.modRevision ?? 0))).succeeded, true);
    assert.ok((await contents(store)).some((line) => line.startsWith("/second=2@")));
  });
});
