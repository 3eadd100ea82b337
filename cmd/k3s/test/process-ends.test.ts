import assert from "node:assert/strict";
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { start, temporaryFolder } from "./cli-process.ts";

function forkFixture(t: TestContext, name: string, args: readonly string[] = []): ChildProcess {
  const child = fork(new URL(`fixtures/${name}.ts`, import.meta.url), args, {
    stdio: ["ignore", "ignore", "ignore", "ipc"],
  });
  t.after(() => child.kill("SIGKILL"));
  return child;
}

async function nextMessage(child: ChildProcess): Promise<unknown> {
  const messages: unknown[] = await once(child, "message", { signal: AbortSignal.timeout(30_000) });
  return messages[0];
}

describe("listenForStop()", () => {
  test("tells the first signal from the second", async (t) => {
    const child = forkFixture(t, "stop-requests");
    assert.equal(await nextMessage(child), "listening");
    child.kill("SIGTERM");
    assert.equal(await nextMessage(child), "Error: Received SIGTERM");
    child.kill("SIGINT");
    assert.equal(await nextMessage(child), "Error: Received SIGINT");
    await once(child, "exit");
    assert.equal(child.exitCode, 0);
  });
});

describe("exitOnBug()", () => {
  for (const kind of ["exception", "rejection"]) {
    test(`logs an unhandled ${kind} with its place and ends with 1`, async (t) => {
      const file = join(await temporaryFolder(t), "log");
      const child = forkFixture(t, "bug", [kind, file]);
      await once(child, "exit");
      assert.equal(child.exitCode, 1);
      assert.match(
        await readFile(file, "utf8"),
        /ERROR node failed by a bug error="a bug" stack="TypeError: a bug.*bug\.ts:/,
      );
    });
  }
});

describe("k3s server while it waits for its configuration", () => {
  test("hides its arguments from the process list, and ends quietly with 0 when asked to", async (t) => {
    const asked = Promise.withResolvers<void>();
    const server = createServer(() => asked.resolve()).listen(0, "127.0.0.1"); // never answers
    t.after(() => {
      server.closeAllConnections();
      server.close();
    });
    await once(server, "listening");
    const address = server.address();
    assert.ok(typeof address === "object" && address !== null);
    const env = { K3S_CONFIG_FILE: `http://127.0.0.1:${address.port}/config.yaml` };
    const child = start(t, ["server", "--token", "hunter2"], { env });
    await asked.promise;
    const title = await readFile(`/proc/${child.pid ?? 0}/cmdline`, "utf8");
    assert.match(title, /^k3s server/);
    assert.doesNotMatch(title, /hunter2/);
    child.kill("SIGTERM");
    assert.deepEqual(await child.ended, { code: 0, signal: null, stdout: "", stderr: "" });
  });
});
