import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, test, type TestContext } from "node:test";
import { ownerOf } from "../src/child-record.ts";
import { endLeftovers } from "../src/end-leftovers.ts";
import { readVariable } from "../src/proc-table.ts";
import { isRunning, killAfter, limit, LogBook, temporaryFolder, untilGone } from "./support.ts";

async function startSupervisor(t: TestContext) {
  const folder = temporaryFolder(t);
  const owner = await ownerOf(folder);
  const fixture = join(import.meta.dirname, "fixtures/supervisor.ts");
  const supervisor = spawn(process.execPath, [fixture, folder, owner], { stdio: ["ignore", "pipe", "inherit"] });
  t.after(() => supervisor.kill("SIGKILL"));
  const { value } = await createInterface(supervisor.stdout)[Symbol.asyncIterator]().next();
  const [child = 0, shim = 0] = String(value).split(" ").map(Number);
  killAfter(t, child);
  killAfter(t, shim);
  return { supervisor, child, shim, folder, owner };
}

describe("a supervisor that is killed with SIGKILL", () => {
  test("takes its child along within 2 s, but not what the child started in a session of its own", async (t) => {
    const { supervisor, child, shim } = await startSupervisor(t);
    assert.deepEqual([await isRunning(child), await isRunning(shim)], [true, true]);
    supervisor.kill("SIGKILL");
    await untilGone(child, 2000);
    assert.ok(await isRunning(shim));
  });

  test("leaves a record, which the next start removes without touching the shim", async (t) => {
    const { supervisor, child, shim, folder, owner } = await startSupervisor(t);
    supervisor.kill("SIGKILL");
    await untilGone(child);
    const directory = join(folder, "run");
    assert.ok(existsSync(join(directory, "fixture.json")));
    assert.equal((await readVariable(shim, "K3S_SUPERVISED_BY"))?.startsWith(`${owner}:${child}:`), true);

    assert.equal(await endLeftovers({ directory, owner }, new LogBook().log, limit()), 0);
    assert.ok(!existsSync(join(directory, "fixture.json")));
    assert.ok(await isRunning(shim));
  });
});
