import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdir, readdir, readlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { promisify } from "node:util";
import { DriverError } from "@k3s/datastore";
import { createLogger } from "@k3s/log";
import { creations, SmallDisk } from "@k3s/testkit";
import { openSqliteDriver } from "../src/open-sqlite-driver.ts";
import { OtherUsers } from "../src/other-users.ts";
import { prepareFile } from "../src/prepare-file.ts";
import { SpaceReserve } from "../src/space-reserve.ts";
import { WorkerChannel } from "../src/worker-channel.ts";
import { sql } from "./support/python.ts";
import { tempDatabase, tempFolder } from "./support/temp-store.ts";

const run = promisify(execFile);
const INDEXES = "SELECT name FROM sqlite_schema WHERE type = 'index' ORDER BY name";

/** A logger that keeps its warnings. */
function collectLog() {
  const lines: string[] = [];
  return { log: createLogger({ level: "warn", format: "text", write: (line) => lines.push(line) }), lines };
}

/** Makes a file with 80 MiB of names on a disk of 150: what is left is not little, but less than an index of them takes. */
async function fillNearly(disk: SmallDisk): Promise<string> {
  const path = join(disk.folder, "state.db");
  const columns = "create_revision INTEGER, prev_revision INTEGER, lease INTEGER, value BLOB, old_value BLOB";
  const table = "id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT, created INTEGER, deleted INTEGER";
  const insert = `WITH RECURSIVE ids(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM ids WHERE id < 80)
    INSERT INTO kine SELECT id, '/' || id || hex(zeroblob(${512 * 1024})), 1, 0, 0, 0, 0, x'', NULL FROM ids`;
  await sql(path, `CREATE TABLE kine (${table}, ${columns})`, insert);
  return path;
}

/** A worker that is closed with the test. */
function openWriter(t: TestContext, path: string): WorkerChannel {
  const settings = { path, isReadOnly: false, cachePages: -2048, busyTimeoutMs: 1000, synchronous: "FULL" } as const;
  const writer = new WorkerChannel({ ...settings, autoVacuum: "NONE", secureDelete: undefined });
  t.after(() => writer.close());
  return writer;
}

/** Prepares a file on a disk that is full once the tables are made; another program opens the file meanwhile. */
async function prepareAndFill(t: TestContext, disk: SmallDisk, { hasReserve }: { readonly hasReserve: boolean }) {
  const path = join(disk.folder, "state.db");
  await writeFile(path, "");
  const writer = openWriter(t, path);
  const call = Reflect.get(writer, "call");
  const asked: string[] = [];
  t.mock.method(writer, "call", async (...args: Parameters<typeof call>) => {
    if (asked.push(args[0]) === 2 && args[0] === "prepare") await disk.fill();
    return await call.apply(writer, args);
  });
  const { log, lines } = collectLog();
  const reserve = await SpaceReserve.open(`${path}.reserve`, log);
  if (hasReserve) assert.ok(await reserve.build());
  const answers = [false, true];
  const others = { areThere: () => answers.shift() ?? assert.fail() };
  const prepared = prepareFile(writer, { path, log, checkpoints: "own", reserve, others });
  return { path, asked, lines, reserve, prepared };
}

/** The files that this process has open. */
async function openFiles(): Promise<readonly string[]> {
  const fds = await readdir("/proc/self/fd");
  return await Promise.all(fds.map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => "")));
}

describe("prepareFile()", () => {
  test("makes kine's guard for a program that opened the file while the tables were made", async (t) => {
    const path = await tempDatabase(t);
    await mkdir(dirname(path));
    await writeFile(path, "");
    const writer = openWriter(t, path);
    const { log, lines } = collectLog();
    const answers = [false, true];
    const others = { areThere: () => answers.shift() ?? assert.fail() };
    const reserve = await SpaceReserve.open(`${path}.reserve`, log);
    await prepareFile(writer, { path, log, checkpoints: "own", reserve, others });
    assert.deepEqual(await sql(path, INDEXES), [["kine_heads_index"], ["kine_name_prev_revision_uindex"]]);
    assert.match(lines.join(""), /another program has the datastore open/);
  });

  test("makes that guard with reserved space where the disk is full by then", async (t) => {
    await using disk = await SmallDisk.mount(await tempFolder(t), "24m");
    const { path, asked, lines, reserve, prepared } = await prepareAndFill(t, disk, { hasReserve: true });
    await prepared;
    assert.deepEqual([asked, reserve.isReleased], [["prepare", "prepare", "prepare"], true]);
    assert.match(lines.join(""), /the disk is full: only deletes and compactions/);
    assert.match(lines.join(""), /another program has the datastore open/);
    assert.deepEqual(await sql(path, INDEXES), [["kine_name_prev_revision_uindex"]]);
  });

  test("rejects where the disk is full by then and no space is reserved", async (t) => {
    await using disk = await SmallDisk.mount(await tempFolder(t), "24m");
    const { asked, lines, prepared } = await prepareAndFill(t, disk, { hasReserve: false });
    await assert.rejects(prepared, (error) => error instanceof DriverError && error.kind === "noSpace");
    assert.deepEqual([asked, lines], [["prepare", "prepare"], []]);
  });

  test("warns where the disk has no room for the index, goes on without it, and makes it at a start that has room", async (t) => {
    await using disk = await SmallDisk.mount(await tempFolder(t), "150m");
    const path = await fillNearly(disk);
    const { log, lines } = collectLog();
    const driver = await openSqliteDriver({ path, log });
    t.after(() => driver.close());
    assert.match(lines.join(""), /WARN {2}cannot make the index that a start reads, starts take longer/);
    assert.deepEqual(
      (await driver.heads(79, 10)).map(({ id }) => id),
      [80],
    );
    await driver.commit(creations(80, "/b"));
    await driver.close();
    assert.deepEqual(await sql(path, INDEXES), []);
    await run("mount", ["-o", "remount,size=400m", disk.folder]);
    lines.length = 0;
    const again = await openSqliteDriver({ path, log });
    t.after(() => again.close());
    assert.deepEqual(
      (await again.heads(80, 10)).map(({ name }) => name),
      ["/b"],
    );
    await again.close();
    assert.deepEqual([await sql(path, INDEXES), lines], [[["kine_heads_index"]], []]);
  });
});

describe("openSqliteDriver()", () => {
  test("closes the file when it cannot use it, last of all the descriptor whose end gives up SQLite's locks", async (t) => {
    const path = await tempDatabase(t);
    await mkdir(dirname(path));
    await sql(path, "CREATE TABLE kine (id INTEGER PRIMARY KEY, name TEXT)");
    const order: string[] = [];
    let least = Infinity;
    const close = Reflect.get(WorkerChannel.prototype, "close");
    const dispose = Reflect.get(OtherUsers.prototype, Symbol.dispose);
    t.mock.method(WorkerChannel.prototype, "close", async function (this: WorkerChannel) {
      await close.call(this);
      order.push("worker is closed");
      least = Math.min(least, (await openFiles()).filter((file) => file === path).length);
    });
    t.mock.method(OtherUsers.prototype, Symbol.dispose, function (this: OtherUsers) {
      dispose.call(this);
      order.push("descriptor is closed");
    });
    const { log } = collectLog();
    await assert.rejects(openSqliteDriver({ path, log }), { code: "ERR_SQLITE_OTHER_SCHEMA" });
    assert.deepEqual([order, least], [["worker is closed", "worker is closed", "descriptor is closed"], 1]);
    assert.deepEqual(
      (await openFiles()).filter((file) => file.startsWith(path)),
      [],
    );
  });
});
