import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { launcherPath } from "@k3s/native";
import { ownerOf, saveRecord, type RecordsPlace } from "../src/child-record.ts";
import { endLeftovers, isLeftover } from "../src/end-leftovers.ts";
import { isAlive, readProcess } from "../src/proc-table.ts";
import { isRunning, killAfter, limit, LogBook, temporaryFolder, untilGone } from "./support.ts";

const PERL_STUBBORN = "$SIG{TERM} = 'IGNORE'; $| = 1; print qq(up\\n); sleep 1000";

async function place(t: TestContext): Promise<RecordsPlace> {
  const folder = temporaryFolder(t);
  return { directory: folder, owner: await ownerOf(folder) };
}

/** A process without our mark. */
function plain(t: TestContext, file = "sleep", args: readonly string[] = ["1000"]): ChildProcess & { pid: number } {
  const child = spawn(file, args, { stdio: ["ignore", "pipe", "inherit"] });
  t.after(() => child.kill("SIGKILL"));
  assert.ok(child.pid !== undefined);
  return Object.assign(child, { pid: child.pid });
}

/** A process with the mark of `owner`, of which nothing is written down. Waits until it has printed its first line. */
async function marked(
  t: TestContext,
  owner: string,
  command: readonly string[],
): Promise<ChildProcess & { pid: number }> {
  const child = plain(t, launcherPath(), ["--parent", String(process.pid), "--mark", owner, "--", ...command]);
  assert.ok(child.stdout !== null);
  for await (const _ of child.stdout) break;
  return child;
}

function saved(where: RecordsPlace, pid: number): Promise<void> {
  return saveRecord(where, { name: "kubelet", pid, file: "/usr/bin/kubelet" });
}

/** Replaces one field of the record of "kubelet". */
function forge(where: RecordsPlace, change: Record<string, unknown>): void {
  const path = join(where.directory, "kubelet.json");
  const record = JSON.parse(readFileSync(path, "utf8")) as Record<string, unknown>;
  writeFileSync(path, JSON.stringify({ ...record, ...change }));
}

describe("endLeftovers()", () => {
  test("ends a process that is written down, and forgets it", async (t) => {
    const where = await place(t);
    const child = plain(t);
    await saved(where, child.pid);
    const book = new LogBook();
    assert.equal(await endLeftovers(where, book.log, limit()), 1);
    await untilGone(child.pid, 1);
    assert.ok(!existsSync(join(where.directory, "kubelet.json")));
    const [entry] = book.entries.get();
    assert.deepEqual([entry?.level, entry?.["child"], entry?.["pid"]], ["warn", "kubelet", child.pid]);
  });

  test("ends a process that only its mark gives away", async (t) => {
    const where = await place(t);
    const child = await marked(t, where.owner, ["/bin/sh", "-c", "echo up; exec sleep 1000"]);
    assert.equal(await endLeftovers(where, new LogBook().log, limit()), 1);
    await untilGone(child.pid, 1);
  });

  test("kills one that ignores SIGTERM after the grace", async (t) => {
    const where = await place(t);
    const child = await marked(t, where.owner, ["/usr/bin/perl", "-e", PERL_STUBBORN]);
    await saved(where, child.pid);
    assert.equal(await endLeftovers({ ...where, graceMs: 20 }, new LogBook().log, limit()), 1);
    assert.equal(child.signalCode ?? "SIGKILL", "SIGKILL");
    await untilGone(child.pid, 1);
  });

  test("rejects with a coded error when it may not take the time", async (t) => {
    const where = await place(t);
    await marked(t, where.owner, ["/usr/bin/perl", "-e", PERL_STUBBORN]);
    const stop = new AbortController();
    const ending = endLeftovers({ ...where, graceMs: 1_000_000 }, new LogBook().log, stop.signal);
    stop.abort();
    await assert.rejects(ending, { code: "ERR_PROCESS_LEFTOVER" });
  });

  const others = [
    { name: "whose id was used again", change: { startTicks: "1" } },
    { name: "of an earlier run of the machine", change: { bootId: "00000000-0000-0000-0000-000000000000" } },
  ];
  for (const { name, change } of others) {
    test(`spares a process ${name}, and removes the record`, async (t) => {
      const where = await place(t);
      const child = plain(t);
      await saved(where, child.pid);
      forge(where, change);
      assert.equal(await endLeftovers(where, new LogBook().log, limit()), 0);
      assert.ok(await isRunning(child.pid));
      assert.ok(!existsSync(join(where.directory, "kubelet.json")));
    });
  }

  test("spares the children of another data directory", async (t) => {
    const where = await place(t);
    const child = await marked(t, "somebody-else", ["/bin/sh", "-c", "echo up; exec sleep 1000"]);
    assert.equal(await endLeftovers(where, new LogBook().log, limit()), 0);
    assert.ok(await isRunning(child.pid));
  });

  test("spares what another owner has written down in the same folder, and keeps its record", async (t) => {
    const where = await place(t);
    const child = plain(t);
    await saved({ ...where, owner: "somebody-else" }, child.pid);
    assert.equal(await endLeftovers(where, new LogBook().log, limit()), 0);
    assert.ok(await isRunning(child.pid));
    assert.ok(existsSync(join(where.directory, "kubelet.json")));
  });

  test("spares what a child has started, although it inherits the environment", async (t) => {
    const where = await place(t);
    const child = await marked(t, where.owner, ["/bin/sh", "-c", "sleep 1000 >/dev/null & echo $!; wait"]);
    const [shim] = readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, "utf8").split(" ").map(Number);
    assert.ok(shim !== undefined && shim > 0);
    killAfter(t, shim);
    assert.deepEqual([await isLeftover(where.owner, child.pid), await isLeftover(where.owner, shim)], [true, false]);
    assert.equal(await isLeftover("somebody-else", child.pid), false);
    assert.equal(await endLeftovers(where, new LogBook().log, limit()), 1);
    assert.ok(await isRunning(shim));
  });

  test("removes a damaged record with a warning and goes on", async (t) => {
    const where = await place(t);
    for (const [name, text] of [
      ["a", "{"],
      ["b", "[]"],
      ["c", '{"name":"c","pid":"1"}'],
      ["d", "null"],
    ] as const) {
      writeFileSync(join(where.directory, `${name}.json`), text);
    }
    const book = new LogBook();
    assert.equal(await endLeftovers(where, book.log, limit()), 0);
    assert.deepEqual(
      book.entries.get().map(({ level, msg }) => `${level} ${msg}`),
      Array.from({ length: 4 }, () => "warn removing damaged record of a child"),
    );
    assert.ok(!existsSync(join(where.directory, "a.json")));
  });

  test("finds nothing where nothing was ever written down", async () => {
    const where = { directory: "/nonexistent/run", owner: "nobody" };
    assert.equal(await endLeftovers(where, new LogBook().log, limit()), 0);
  });
});

describe("ownerOf()", () => {
  test("is the same by whatever path the data directory is reached", async (t) => {
    const folder = temporaryFolder(t);
    assert.equal(await ownerOf(`${folder}/../${folder.split("/").at(-1)}/`), await ownerOf(folder));
    assert.notEqual(await ownerOf("/"), await ownerOf(folder));
    assert.match(await ownerOf("/nonexistent/folder"), /^[0-9a-f]{16}$/);
  });
});

describe("readProcess()", () => {
  test("reads the process table, also of a program with an odd name", async (t) => {
    const child = plain(t, "perl", ["-e", '$0 = "a) Z 1 (b"; $| = 1; print "up"; sleep 1000']);
    assert.ok(child.stdout !== null);
    for await (const _ of child.stdout) break;
    const row = await readProcess(child.pid);
    assert.ok(row !== undefined && isAlive(row));
    assert.deepEqual([row.pid, row.parentPid], [child.pid, process.pid]);
    assert.match(row.startTicks, /^\d+$/);
  });

  test("is undefined when there is no such process", async () => {
    assert.equal(await readProcess(2 ** 22 + 1), undefined);
  });
});
