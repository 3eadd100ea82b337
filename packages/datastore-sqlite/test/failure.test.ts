import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { describe, test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { DriverError, openStore, StoreError } from "@k3s/datastore";
import { until, WatchRecorder } from "@k3s/testkit";
import { openSqliteDriver } from "../src/index.ts";
import { BrokenDriver, brokenStore, failed, nextCommit } from "./support/broken-driver.ts";
import { create, del, just, put, query, rangeOf, update } from "./support/ops.ts";
import { sql } from "./support/python.ts";
import { eventually, silent, storeAt, tempDatabase, tempFolder } from "./support/temp-store.ts";

const run = promisify(execFile);
/** More than lie between the end of a commit and what the store makes of it. */
const MICROTASKS = 30;
const unavailable = (error: unknown) => error instanceof StoreError && error.reason === "unavailable";

/** Carries `work` out in the same turn of the event loop, so many microtasks later. */
async function afterMicrotasks<T>(count: number, work: () => Promise<T>): Promise<T> {
  for (let i = 0; i < count; i++) await Promise.resolve();
  return work();
}

describe("failures of the database", () => {
  test("txn() takes a refusal back when the write it rested on did not become durable", async (t) => {
    const { store, driver } = await brokenStore(t);
    await store.txn(create("/a", "1"));
    const [begun, end] = [Promise.withResolvers<undefined>(), Promise.withResolvers<undefined>()];
    nextCommit(driver, async () => {
      begun.resolve(undefined);
      await end.promise;
    });
    const deleted = store.txn(just(del("/a")));
    await begun.promise;
    const touched = store.txn(just(put("/a", "", { ignoreValue: true })));
    end.reject(failed());
    await assert.rejects(deleted, unavailable);
    assert.equal((await touched).revision, 4);
  });

  test("txn() refuses only after the write that it rests on can be read", async (t) => {
    const { store } = await brokenStore(t);
    await store.txn(create("/a", "1"));
    const deleted = store.txn(just(del("/a")));
    const counted = store
      .txn(just(put("/a", "", { ignoreValue: true })))
      .catch(() => store.range(query(rangeOf("/a"))));
    assert.equal((await deleted).revision, 4);
    assert.partialDeepStrictEqual(await counted, { revision: 4, count: 0 });
  });

  test("a commit that fails is refused, leaves no trace, and does not use up a revision", async (t) => {
    const { store, driver } = await brokenStore(t);
    nextCommit(driver, () => Promise.reject(failed()));
    await assert.rejects(store.txn(create("/a", "1")), unavailable);
    assert.equal((await store.range(query(rangeOf("/a")))).count, 0);
    assert.equal((await store.txn(create("/a", "2"))).revision, 3);
  });

  test("writes queued behind a failed commit are compared anew and carried out", async (t) => {
    const { store, driver } = await brokenStore(t);
    const gate = Promise.withResolvers<undefined>();
    const begun = Promise.withResolvers<undefined>();
    nextCommit(driver, async () => {
      begun.resolve(undefined);
      await gate.promise;
      throw failed();
    });
    const first = store.txn(create("/a", "lost"));
    await begun.promise;
    const second = store.txn(create("/a", "kept"));
    const third = store.txn(update("/a", 3, "on top"));
    gate.resolve(undefined);
    await assert.rejects(first, unavailable);
    const results = [(await second).succeeded, (await third).succeeded];
    assert.deepEqual(results, [true, true]);
    assert.equal((await store.range(query(rangeOf("/a")))).kvs[0]?.value.toString(), "on top");
  });

  test("a write that comes in just as a commit fails is planned on what is on disk", async (t) => {
    const path = await tempDatabase(t);
    const driver = new BrokenDriver(await openSqliteDriver({ path, log: silent }));
    const store = await openStore(driver, { log: silent, healthKey: true });
    t.after(() => store.close());
    await sql(path, "INSERT INTO kine VALUES (3, '/theirs', 1, 0, 0, 0, 0, CAST('1' AS BLOB), NULL)");
    const late: Promise<unknown>[] = [];
    nextCommit(driver, async () => {
      for (let i = 0; i < MICROTASKS; i++) late.push(afterMicrotasks(i, () => store.txn(create(`/late${i}`, "1"))));
      await Promise.resolve();
      throw new DriverError("conflict", "Cannot commit: the test says so");
    });
    assert.equal((await store.txn(create("/a", "1"))).succeeded, true);
    await Promise.all(late);
    const { kvs } = await store.range(query(rangeOf("/", "0")));
    assert.equal(kvs.find(({ key }) => key.toString() === "/theirs")?.modRevision, 3);
    const revisions = kvs.map(({ modRevision }) => modRevision);
    assert.deepEqual([revisions.length, new Set(revisions).size], [MICROTASKS + 3, MICROTASKS + 3]);
  });

  test("a commit that was written although it failed is shown, and its watches are told", async (t) => {
    const { store, driver } = await brokenStore(t);
    const seen = new WatchRecorder(store, rangeOf("/a"));
    nextCommit(driver, async (batch, real) => {
      await real(batch);
      throw failed();
    });
    await assert.rejects(store.txn(create("/a", "1")), unavailable);
    await seen.count(1);
    assert.deepEqual([seen.lines, store.currentRevision], [["3 put /a=1"], 3]);
    assert.equal((await store.txn(create("/a", "2"))).succeeded, false);
  });

  test("a commit that was written although it failed is told once to watches that come while it is read back", async (t) => {
    const { store, driver } = await brokenStore(t);
    await store.txn(create("/a", "1"));
    const [reading, goOn] = [Promise.withResolvers<undefined>(), Promise.withResolvers<undefined>()];
    driver.valuesWith = async (real) => {
      driver.valuesWith = (later) => later();
      reading.resolve(undefined);
      await goOn.promise;
      return real();
    };
    nextCommit(driver, async (batch, real) => {
      await real(batch);
      throw failed();
    });
    const refused = assert.rejects(store.txn(just(del("/a"), put("/b", "2"))), unavailable);
    await reading.promise;
    const late = [0, 3, 5].map((start) => new WatchRecorder(store, rangeOf("/", "0"), start));
    const [now, fromStart] = late;
    await fromStart?.count(1);
    await until("it is live", () => Promise.resolve(fromStart?.watch.progress() !== undefined));
    goOn.resolve(undefined);
    await refused;
    await store.txn(create("/c", "3"));
    for (const watch of late) await watch.count(3);
    const news = ["5 delete /a= was 1@3", "5 put /b=2", "6 put /c=3"];
    assert.deepEqual(
      late.map(({ lines }) => lines),
      [news, ["3 put /a=1", ...news], news],
    );
    assert.equal(now?.watch.revision, 3);
  });

  test("reads go on and see nothing unfinished while a commit hangs", async (t) => {
    const { store, driver } = await brokenStore(t);
    await store.txn(create("/a", "1"));
    const gate = Promise.withResolvers<undefined>();
    nextCommit(driver, async (batch, real) => {
      await gate.promise;
      await real(batch);
    });
    const slow = store.txn(update("/a", 3, "2"));
    const { kvs, revision, count } = await store.range(query(rangeOf("/a", "/b")));
    assert.deepEqual([kvs[0]?.value.toString(), revision, count], ["1", 3, 1]);
    gate.resolve(undefined);
    assert.equal((await slow).revision, 4);
  });

  test("O3 DB outage: while the database is away writes are refused and reads served; it recovers by itself", async (t) => {
    const { store, driver } = await brokenStore(t);
    await store.txn(create("/a", "1"));
    driver.isAway = true;
    nextCommit(driver, () => Promise.reject(failed()));
    await assert.rejects(store.txn(create("/b", "1")), unavailable);
    await assert.rejects(store.txn(create("/b", "1")), unavailable);
    assert.equal((await store.range(query(rangeOf("/a")))).kvs[0]?.value.toString(), "1");
    driver.isAway = false;
    await eventually(async () => assert.equal((await store.txn(create("/b", "1"))).revision, 4));
  });

  test("rows of another program are taken in, told to watches, and written after", async (t) => {
    const path = await tempDatabase(t);
    const store = await storeAt(t, path);
    await store.txn(create("/a", "1"));
    const seen = new WatchRecorder(store, rangeOf("/", "0"));
    await sql(path, "INSERT INTO kine VALUES (4, '/a', 0, 0, 3, 3, 0, CAST('theirs' AS BLOB), CAST('1' AS BLOB))");
    const late = await store.txn(update("/a", 3, "ours"));
    const fresh = await store.txn(create("/b", "ours"));
    assert.deepEqual([late.succeeded, fresh.revision], [false, 5]);
    assert.deepEqual(seen.lines, ["4 put /a=theirs was 1@3", "5 put /b=ours"]);
  });

  test("a key deleted and compacted can be made again after a failed commit, with its rows still there", async (t) => {
    const { store, driver } = await brokenStore(t);
    await store.txn(create("/a", "1"));
    await store.txn(just(del("/a")));
    await store.txn(create("/b", "1")); // else the deletion could still be told
    const kept = Promise.withResolvers<undefined>();
    driver.pruneWith = () => {
      kept.resolve(undefined);
      return Promise.reject(failed());
    };
    await store.compact(store.currentRevision);
    await kept.promise;
    nextCommit(driver, () => Promise.reject(failed()));
    await assert.rejects(store.txn(create("/a", "lost")), unavailable);
    assert.equal((await store.txn(create("/a", "2"))).succeeded, true);
    driver.pruneWith = (real) => real();
    await eventually(async () => assert.deepEqual(await driver.heads(3, 1).then(([head]) => head?.id), 5));
  });

  test("a conflict with nothing new to read is refused, and the next write is carried out", async (t) => {
    const { store, driver } = await brokenStore(t);
    nextCommit(driver, () => Promise.reject(new DriverError("conflict", "Cannot commit: the test says so")));
    await assert.rejects(store.txn(create("/a", "1")), unavailable);
    assert.equal((await store.txn(create("/a", "2"))).revision, 3);
  });

  test("a full disk refuses writes with noSpace, keeps what was promised, and takes writes when there is room", async (t) => {
    const told = await onSmallDisk(t, { size: "8m", fixture: "disk-full.ts" });
    const { promised } = told;
    assert.ok(Number(promised) > 5);
    assert.deepEqual(told, {
      promised,
      refused: "noSpace",
      count: promised,
      values: promised,
      gap: 1,
      survived: Number(promised) + 1,
    });
  });

  test("a full disk without a reserve is told as full, to a server and to a reader", async (t) => {
    const told = await onSmallDisk(t, { size: "1m", fixture: "disk-without-room.ts" });
    assert.deepEqual(told, { driver: "ERR_SQLITE_DISK_FULL", reader: "ERR_SQLITE_DISK_FULL" });
  });

  test("a disk that takes no writes: refused as unavailable, said once, reads go on, and it recovers by itself", async (t) => {
    const { stdout } = await run(process.execPath, [fixture("disk-broken.ts"), await tempFolder(t)], {
      timeout: 60_000,
    });
    const { lines, ...told } = JSON.parse(stdout) as { readonly lines: readonly string[] };
    assert.deepEqual(told, { refused: ["unavailable"], read: true, again: true, survived: 2 });
    assert.deepEqual(lines, ["error cannot commit to the datastore", "info commits to the datastore work again"]);
  });

  const recoveries = [
    // The file gives room back to its file system, and space can be reserved again for when others fill that.
    ["INCREMENTAL", { rebuilt: true, foreign: [true, "done", "done", "done", true, false, true], left: 2 }],
    // The room is inside of the file.
    ["NONE", { rebuilt: false, foreign: [true, true, false, false], left: 3 }],
  ] as const;
  for (const [autoVacuum, expected] of recoveries)
    test(`on a full disk deletes and compactions go on, also after a restart, until there is room: auto_vacuum=${autoVacuum}`, async (t) => {
      assert.deepEqual(await onSmallDisk(t, { size: "28m", fixture: "disk-recovery.ts", args: [autoVacuum] }), {
        enough: true,
        releasedWhenFull: true,
        refused: "noSpace",
        read: true,
        mixed: ["noSpace", "done", "noSpace", "done"],
        outcomes: ["done"],
        again: [true, true],
        ...expected,
      });
    });
});

function fixture(name: string): string {
  return fileURLToPath(new URL(`./fixtures/${name}`, import.meta.url));
}

/** What a fixture tells that has a file system of its own. */
async function onSmallDisk(
  t: TestContext,
  {
    size,
    fixture: name,
    args = [],
  }: { readonly size: string; readonly fixture: string; readonly args?: readonly string[] },
): Promise<Record<string, unknown>> {
  const folder = await tempFolder(t);
  const script = 'mount -t tmpfs -o "size=$1" none "$2" && exec "$3" "$4" "$2" "$5"';
  // The mount lives in a namespace of its own and goes with the process.
  const command = ["-m", "sh", "-c", script, "sh", size, folder, process.execPath, fixture(name), ...args];
  const { stdout } = await run("unshare", command, { timeout: 100_000 });
  return JSON.parse(stdout) as Record<string, unknown>;
}
