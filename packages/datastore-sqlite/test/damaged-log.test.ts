import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, readdir, readFile, rm, stat, truncate, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { describe, test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { openStore, type OpenStore } from "@k3s/datastore";
import { NodeError } from "@k3s/errors";
import { createLogger } from "@k3s/log";
import { checkWal } from "../src/check-wal.ts";
import { openSqliteDriver, type SqliteSettings } from "../src/index.ts";
import { copyImage, crashImage, flipBit, keptKeys, transactions } from "./support/crash-image.ts";
import { create, just, put } from "./support/ops.ts";
import { sql } from "./support/python.ts";
import { silent, tempDatabase } from "./support/temp-store.ts";

const CRASH_WRITER = fileURLToPath(new URL("./fixtures/crash-writer.ts", import.meta.url));

interface Opened {
  readonly store: OpenStore;
  /** What was logged as a warning or worse. */
  readonly warnings: readonly string[];
  /** All that was logged. */
  readonly lines: readonly string[];
}

/** More than a start waits for. */
const LARGE_BYTES = 65 * 1024 * 1024;
const PAGE_BYTES = 4096;
const WAL_HEADER_BYTES = 32;

async function openImage(t: TestContext, path: string, settings: SqliteSettings = {}): Promise<Opened> {
  const warnings: string[] = [];
  const lines: string[] = [];
  const write = (line: string): void => {
    lines.push(line);
    if (!/"level":"(?:debug|info)"/.test(line)) warnings.push(line);
  };
  const log = createLogger({ level: "info", format: "json", write });
  const store = await openStore(await openSqliteDriver({ path, log, settings }), { log });
  t.after(() => store.close());
  return { store, warnings, lines };
}

/** Opening rejects with this code, time after time; answers the one copy, which is what the files were and still are. */
async function refused(path: string, code: string): Promise<string> {
  await chmod(path, 0o640);
  const before = await Promise.all([readFile(path), readFile(`${path}-wal`)]);
  for (let i = 0; i < 2; i++)
    await assert.rejects(openSqliteDriver({ path, log: silent }), (error: unknown) => {
      assert.ok(error instanceof NodeError);
      assert.equal(error.code, code);
      assert.match(error.hint ?? "", /state\.db\.damaged-/);
      return true;
    });
  const copies = await copiesOf(path);
  assert.equal(copies.length, 1);
  const copy = join(dirname(path), copies[0] ?? "", "state.db");
  for (const file of [path, copy]) {
    const now = await Promise.all([readFile(file), readFile(`${file}-wal`)]);
    assert.deepEqual(
      now.map((bytes, index) => bytes.equals(before[index] ?? Buffer.alloc(0))),
      [true, true],
      file,
    );
    assert.equal((await stat(file)).mode & 0o777, 0o640);
  }
  assert.equal((await stat(dirname(copy))).mode & 0o777, 0o700);
  return copy;
}

/** A transaction of many frames. */
async function putLast(store: OpenStore): Promise<void> {
  await store.txn(just(...Array.from({ length: 80 }, (_, i) => put(`/last/${i}`, "v".repeat(3000)))));
}

async function copiesOf(path: string): Promise<string[]> {
  const names = await readdir(dirname(path));
  return names.filter((name) => name.startsWith(`${basename(path)}.damaged-`));
}

describe("a log that a crash left", () => {
  test("is refused with a copy when a bit of its header is wrong; the cure opens the file again", async (t) => {
    for (const offset of [1, 10, 18, 26]) {
      const path = await crashImage(t, 29);
      await flipBit(`${path}-wal`, offset);
      await refused(path, "ERR_SQLITE_LOG_DAMAGED");
      await sql(path, "PRAGMA wal_checkpoint(TRUNCATE)");
      assert.deepEqual((await openImage(t, path)).warnings, []);
    }
  });

  test("is refused with a copy when a bit within it is wrong", async (t) => {
    const path = await crashImage(t, 40);
    const { size } = await stat(`${path}-wal`);
    await flipBit(`${path}-wal`, Math.floor(size / 3));
    const copy = await refused(path, "ERR_SQLITE_LOG_DAMAGED");
    await flipBit(`${copy}-wal`, Math.floor(size / 3));
    assert.equal(await keptKeys((await openImage(t, copy)).store), 40); // the copy has it all
  });

  test("is left alone, and copied, when the file that it belongs to is damaged", async (t) => {
    const path = await crashImage(t, 300, async (_, source) => {
      await sql(source, "PRAGMA wal_checkpoint(PASSIVE)"); // the log stays, and need not hold all pages
    });
    const bytes = await readFile(path);
    bytes.fill(0x5a, bytes.length - 20 * 4096);
    await writeFile(path, bytes);
    await writeFile(`${path}-wal`, (await readFile(`${path}-wal`)).subarray(0, 32 + 2 * 4120));
    await refused(path, "ERR_SQLITE_CORRUPT");
  });

  test("is left alone when the file that it belongs to is gone", async (t) => {
    const path = await crashImage(t, 5);
    const wal = await readFile(`${path}-wal`);
    await rm(path);
    await assert.rejects(openSqliteDriver({ path, log: silent }), { code: "ERR_SQLITE_FILE_GONE" });
    assert.ok((await readFile(`${path}-wal`)).equals(wal));
  });

  test("opens without a word after SIGKILL", async (t) => {
    const path = await tempDatabase(t);
    const child = spawn(process.execPath, [CRASH_WRITER, path, "0"], { stdio: ["ignore", "pipe", "inherit"] });
    t.after(() => child.kill("SIGKILL"));
    const exited = once(child, "exit");
    let promised = 0;
    for await (const line of createInterface({ input: child.stdout }))
      if (line !== "" && ++promised === 300) child.kill("SIGKILL");
    await exited;
    assert.ok((await stat(`${path}-wal`)).size > 0);
    const { store, warnings } = await openImage(t, path);
    assert.ok(store.currentRevision > 300);
    assert.deepEqual([warnings, await copiesOf(path)], [[], []]);
  });

  test("opens without a word when its last transaction is cut off, or its last frame half written", async (t) => {
    const path = await crashImage(t, 20);
    const last = (await transactions(`${path}-wal`)).at(-1)?.at(-1) ?? 0;
    const end = (await stat(`${path}-wal`)).size;
    for (const [cut, flip] of [
      [end, last + 2000],
      [end - 1000, undefined],
      [last, undefined],
    ] as const) {
      const image = await tempDatabase(t);
      await mkdir(dirname(image));
      await writeFile(image, await readFile(path));
      await writeFile(`${image}-wal`, (await readFile(`${path}-wal`)).subarray(0, cut));
      if (flip !== undefined) await flipBit(`${image}-wal`, flip);
      const { store, warnings } = await openImage(t, image);
      assert.deepEqual([await keptKeys(store), warnings, await copiesOf(image)], [19, [], []]);
    }
  });

  test("opens without a word with frames of an earlier use behind its end", async (t) => {
    const path = await crashImage(t, 60, async (store, source) => {
      await sql(source, "PRAGMA wal_checkpoint(RESTART)");
      for (let i = 0; i < 3; i++) await store.txn(create(`/kept/more/${i}`, "1"));
    });
    const { store, warnings } = await openImage(t, path);
    assert.deepEqual([await keptKeys(store), warnings], [63, []]);
  });

  test("opens with a warning and a copy of the log when only its last transaction has a hole", async (t) => {
    const path = await crashImage(t, 10, (store) => putLast(store));
    const [first = 0] = (await transactions(`${path}-wal`)).at(-1) ?? [];
    await flipBit(`${path}-wal`, first + 100);
    const wal = await readFile(`${path}-wal`);
    const { store, warnings } = await openImage(t, path);
    assert.equal(await keptKeys(store), 10);
    assert.match(warnings.join(), /a copy was kept/);
    const [copy = ""] = await copiesOf(path);
    assert.ok((await readFile(join(dirname(path), copy, "state.db-wal"))).equals(wal));
  });

  for (const [place, from] of [
    ["beginning", 0],
    ["end", -1],
  ] as const)
    test(`opens after one power failure after the other, the first of which left a hole at the ${place} of the last transaction`, async (t) => {
      let path = await crashImage(t, 10, (store) => putLast(store));
      let hole = (await transactions(`${path}-wal`)).at(-1)?.at(from) ?? assert.fail();
      for (let failure = 0; failure < 3; failure++) {
        await flipBit(`${path}-wal`, hole + 100);
        const { store, warnings } = await openImage(t, path);
        assert.equal(await keptKeys(store), 10);
        // Without its end it is as if it had been cut off.
        if (failure > 0 || from === 0) assert.match(warnings.join(), /a copy was kept/);
        const before = await readFile(`${path}-wal`);
        await store.txn(create("/next", "v".repeat(3000))); // takes less room than what was left out
        path = await copyImage(t, path);
        const after = await readFile(`${path}-wal`);
        hole = Math.max(
          WAL_HEADER_BYTES,
          after.findIndex((byte, at) => byte !== before[at]),
        );
      }
    });

  test("opens when a frame of its last transaction is half of an earlier use of the file", async (t) => {
    const path = await crashImage(t, 10, (store) => putLast(store));
    const last = (await transactions(`${path}-wal`)).at(-1) ?? [];
    // The salt of such a frame begins a sector: page and commit mark stand in the one before.
    const mixed = last.slice(1, -1).find((at) => (at + 8) % 512 === 0) ?? assert.fail();
    await flipBit(`${path}-wal`, (last[0] ?? 0) + 100);
    const wal = await readFile(`${path}-wal`);
    wal.writeUInt32BE(9, mixed + 4); // as of a transaction that ended here
    await writeFile(`${path}-wal`, wal);
    assert.equal(await keptKeys((await openImage(t, path)).store), 10);
  });

  test("opens with a warning and a copy where the settings allow holes after a power failure", async (t) => {
    const path = await crashImage(t, 10);
    const [, , third = []] = await transactions(`${path}-wal`);
    await flipBit(`${path}-wal`, (third[0] ?? 0) + 100);
    const { warnings } = await openImage(t, path, { synchronous: "NORMAL" });
    assert.equal(warnings.length, 1);
    assert.equal((await copiesOf(path)).length, 1);
  });

  test("of a file too large for the start to wait for is checked while the file is served", async (t) => {
    const path = await crashImage(t, 300, async (store, source) => {
      await store.txn(create("/kept/large", "v".repeat(5 * PAGE_BYTES)));
      await sql(source, "PRAGMA wal_checkpoint(RESTART)");
      await store.txn(create("/kept/more", "1"));
    });
    await truncate(path, LARGE_BYTES);
    const { store, lines } = await openImage(t, path);
    assert.equal(await keptKeys(store), 302);
    await store.close();
    assert.match(lines.join(), /checking it while it is served.*it is sound/s);

    const file = await readFile(path);
    const part = file.indexOf("v".repeat(PAGE_BYTES - 4)); // behind the number of the page with the next part of the value
    assert.equal(part % PAGE_BYTES, 4);
    await writeFile(path, file.fill(0x5a, part - 4, part));
    await truncate(path, LARGE_BYTES);
    const log = await readFile(`${await crashImage(t, 1)}-wal`);
    await writeFile(`${path}-wal`, log.subarray(0, WAL_HEADER_BYTES + 100)); // as a kill leaves it within the first frame
    const damaged = await openImage(t, path);
    assert.equal(await keptKeys(damaged.store), 302);
    await damaged.store.close();
    assert.match(damaged.warnings.join(), /"error".*the datastore is damaged/);
    assert.match(damaged.warnings.join(), /Restore the file from a backup/);
  });
});

const NOTHING = { state: "sound", hasRest: false, hasCommits: false };

describe("checkWal()", () => {
  test("finds every wrong bit in front of the last transaction", async (t) => {
    const path = await crashImage(t, 12);
    const wal = `${path}-wal`;
    assert.deepEqual(await checkWal(wal), { state: "sound", hasRest: false, hasCommits: true });
    const [end = 0] = (await transactions(wal)).at(-1) ?? [];
    for (let offset = 0; offset < end; offset += offset < 100 ? 3 : 997) {
      await flipBit(wal, offset);
      assert.notEqual((await checkWal(wal)).state, "sound", `offset ${offset}`);
      await flipBit(wal, offset);
    }
  });

  test("takes a log without one frame, a blank one and a missing one for sound", async (t) => {
    const path = await tempDatabase(t);
    const wal = `${path}-wal`;
    assert.deepEqual(await checkWal(wal), NOTHING);
    await mkdir(dirname(path));
    for (const bytes of [Buffer.alloc(0), Buffer.from("not empty"), Buffer.alloc(1_000_000)]) {
      await writeFile(wal, bytes);
      assert.deepEqual(await checkWal(wal), NOTHING);
    }
    await writeFile(wal, Buffer.alloc(10_000, 1));
    assert.deepEqual(await checkWal(wal), { ...NOTHING, state: "damaged" });
  });
});
