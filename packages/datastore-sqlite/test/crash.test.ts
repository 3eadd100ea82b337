import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { describe, test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { query, rangeOf, create } from "./support/ops.ts";
import { sql } from "./support/python.ts";
import { storeAt, tempDatabase } from "./support/temp-store.ts";

const FIXTURE = fileURLToPath(new URL("./fixtures/crash-writer.ts", import.meta.url));
const ROUNDS = 4;

/** Lets a process write until it has promised `count` writes, kills it, and returns all it had promised by then. */
async function promised(
  t: TestContext,
  path: string,
  run: { round: number; count: number },
): Promise<Map<string, number>> {
  const child = spawn(process.execPath, [FIXTURE, path, String(run.round)], { stdio: ["ignore", "pipe", "inherit"] });
  t.after(() => child.kill("SIGKILL"));
  const exited = once(child, "exit");
  const writes = new Map<string, number>();
  for await (const text of createInterface({ input: child.stdout })) {
    const [key = "", revision = "0"] = text.split(" ");
    writes.set(key, Number(revision));
    if (writes.size === run.count) child.kill("SIGKILL");
  }
  await exited;
  return writes;
}

describe("crash", () => {
  test(`O4 every promised write is there after SIGKILL, without holes, ${ROUNDS} times over`, async (t) => {
    const path = await tempDatabase(t);
    const all = new Map<string, number>();
    for (let round = 0; round < ROUNDS; round++) {
      const writes = await promised(t, path, { round, count: 150 + 120 * round });
      assert.ok(writes.size > 0);
      for (const [key, revision] of writes) {
        assert.ok(![...all.values()].includes(revision), `revision ${revision} was given twice`);
        all.set(key, revision);
      }
      const store = await storeAt(t, path);
      assert.ok(store.currentRevision >= Math.max(...all.values()));
      const { kvs } = await store.range(query(rangeOf("/crash/", "/crash0")));
      const found = new Map(kvs.map(({ key, modRevision }) => [key.toString(), modRevision as number]));
      for (const [key, revision] of all) assert.equal(found.get(key), revision, key);
      const next = await store.txn(create(`/after/${round}`, ""));
      assert.equal(next.revision, store.currentRevision);
      await store.close();
    }
    const [[rows, first, last] = []] = await sql(path, "SELECT COUNT(*), MIN(id), MAX(id) FROM kine");
    assert.equal(rows, Number(last) - Number(first) + 1, "ids have holes");
    assert.deepEqual(await sql(path, "PRAGMA integrity_check"), [["ok"]]);
  });
});
