import assert from "node:assert/strict";
import { fork, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { readIfExists } from "@k3s/files";
import { until } from "@k3s/testkit";
import { commandLine, start, temporaryFolder } from "./cli-process.ts";

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
  const requests = [
    { what: "one Ctrl-C that comes from the terminal and from npm", laterMs: 3, isImpatient: false },
    { what: "two signals less than a second apart", laterMs: 999, isImpatient: false },
    { what: "a second signal after a second", laterMs: 1000, isImpatient: true },
  ];
  for (const { what, laterMs, isImpatient } of requests) {
    test(`takes ${what} for ${isImpatient ? "impatience" : "one request"}`, async (t) => {
      const child = forkFixture(t, "stop-requests");
      assert.equal(await nextMessage(child), "listening");
      child.kill("SIGINT");
      assert.deepEqual(await nextMessage(child), ["Error: Received SIGINT", "patient"]);
      child.send(laterMs);
      assert.equal(await nextMessage(child), laterMs);
      child.kill("SIGINT");
      const second = isImpatient ? "Error: Received SIGINT" : "patient";
      assert.deepEqual(await nextMessage(child), ["Error: Received SIGINT", second]);
    });
  }

  test("takes a signal that comes late for impatience also after one that did not count", async (t) => {
    const child = forkFixture(t, "stop-requests");
    assert.equal(await nextMessage(child), "listening");
    for (const [nowMs, signal, second] of [
      [5, "SIGINT", "patient"],
      [8, "SIGINT", "patient"],
      [1005, "SIGTERM", "Error: Received SIGTERM"],
    ] as const) {
      child.send(nowMs);
      assert.equal(await nextMessage(child), nowMs);
      child.kill(signal);
      assert.deepEqual(await nextMessage(child), ["Error: Received SIGINT", second]);
    }
  });
});

describe("a terminal that goes away", () => {
  test("does not end what runs for long, even without nohup; SIGTERM still ends it with 0", async (t) => {
    const folder = await temporaryFolder(t);
    const file = (name: string) => join(folder, name);
    const listen = [`--listen-address=unix://${file("socket")}`, "--metrics-bind-address=0"];
    const serve = commandLine(["datastore", "serve", `--endpoint=sqlite://${file("state.db")}`, ...listen]);
    const quoted = serve.map((word) => `'${word}'`).join(" ");
    await writeFile(file("serve"), `echo process $$\nexec ${quoted}\n`);
    // The outer shell lives on to tell how the inner one, which becomes k3s, has ended.
    await writeFile(file("session"), `trap '' HUP\nsh ${file("serve")}\necho $? >${file("code")}\n`);
    const terminal = spawn("script", ["--quiet", "--command", `exec sh ${file("session")}`, "/dev/null"]);
    t.after(() => terminal.kill("SIGKILL"));
    let shown = "";
    let isOver = false;
    const kill = (signal: NodeJS.Signals) => process.kill(Number(/process (\d+)/.exec(shown)?.[1]), signal);
    t.after(() => isOver || kill("SIGKILL"));
    terminal.stdout.on("data", (chunk: Buffer) => (shown += chunk.toString()));
    await until("the datastore is served", () => Promise.resolve(shown.includes("the datastore is served")));
    terminal.kill("SIGKILL");
    await once(terminal, "exit"); // the terminal is closed, and SIGHUP sent, by now
    kill("SIGTERM");
    await until("the datastore has ended", async () => (await readIfExists(file("code")))?.includes("\n") === true);
    isOver = true;
    assert.equal(await readFile(file("code"), "utf8"), "0\n");
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
    child.kill("SIGHUP"); // a terminal that goes away is no request to end
    child.kill("SIGTERM");
    assert.deepEqual(await child.ended, { code: 0, signal: null, stdout: "", stderr: "" });
  });
});
