import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { describe, test } from "node:test";
import { promisify } from "node:util";
import { LIMIT_MS } from "./support.ts";

describe("ZombieReaper", () => {
  test("as process 1 reaps orphans and leaves Node's own children to Node", async () => {
    const fixture = join(import.meta.dirname, "fixtures/first-process.ts");
    const { stdout } = await promisify(execFile)(
      "unshare",
      ["--pid", "--fork", "--kill-child", "--mount-proc", process.execPath, fixture],
      { timeout: LIMIT_MS, killSignal: "SIGKILL" },
    );
    const { comm, ...result } = JSON.parse(stdout) as Record<string, unknown>;
    assert.equal(typeof comm, "string");
    assert.deepEqual(result, {
      pid: 1,
      ownCodes: Array.from({ length: 20 }, (_, code) => code),
      threadCode: 9,
      zombies: 0,
      listeners: 0,
    });
  });
});
