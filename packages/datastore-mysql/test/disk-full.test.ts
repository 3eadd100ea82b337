import assert from "node:assert/strict";
import { open, rm } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { StoreError } from "@k3s/datastore";
import { until } from "@k3s/testkit";
import { contents, remove, write } from "./support/ops.ts";
import { collectLog, TestDatabase } from "./support/test-database.ts";

const database = TestDatabase.onSmallDisk("160M");
const MIB = 1024 * 1024;

/** Takes what is left of the disk. */
async function fillDisk(path: string): Promise<void> {
  const file = await open(path, "w");
  try {
    for (let bytes = MIB; bytes >= 4096;)
      bytes = await file.write(Buffer.alloc(bytes)).then(
        ({ bytesWritten }) => (bytesWritten === bytes ? bytes : bytes / 2),
        () => bytes / 2,
      );
  } finally {
    await file.close();
  }
}

describe("the disk of MariaDB full", () => {
  test("is told as noSpace; reads go on, and writes too once there is room, without a restart", async (t) => {
    const { log, lines } = collectLog();
    const store = await database.store(t, database.newName(), log);
    await store.txn(write("/first", 0, "1"));
    const filler = join(database.server.dataDir, "filler");
    await fillDisk(filler);
    let written = 0;
    await until("writes are refused for want of space", async () => {
      try {
        for (; ; written++) await store.txn(write(`/fill/${written}`, 0, Buffer.alloc(MIB / 4)));
      } catch (error) {
        return error instanceof StoreError && error.reason === "noSpace";
      }
    });
    const { kvs } = await store.range({
      ...{ key: Buffer.from("/first"), rangeEnd: Buffer.alloc(0), limit: 0, revision: 0 },
      ...{ keysOnly: false, countOnly: false },
    });
    assert.equal(kvs[0]?.value.toString(), "1");
    assert.match(lines.join(""), /its disk is full/);
    await rm(filler);
    await until("writes are served again", async () => (await store.txn(write("/second", 0, "2"))).succeeded);
    const { modRevision = 0 } = kvs[0] ?? {};
    assert.equal((await store.txn(remove("/first", modRevision))).succeeded, true);
    assert.ok((await contents(store)).some((line) => line.startsWith("/second=2@")));
  });
});
