import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { test } from "node:test";
import { promisify } from "node:util";
import { freePort, Program, until } from "@k3s/testkit";

const run = promisify(execFile);
const MODULE = new URL("../src/free-port.ts", import.meta.url).href;

test("ports are given once, also to processes side by side", async () => {
  const code = `const { freePort } = await import(${JSON.stringify(MODULE)});
    const ports = [];
    while (ports.length < 300) ports.push(await freePort());
    console.log(ports.join(" "));
    process.stdin.resume().on("end", () => process.exit());`; // holds its ports until the others have theirs
  const children = Array.from({ length: 4 }, () => run(process.execPath, ["--input-type=module", "--eval", code]));
  const output = await Promise.all(
    children.map(async ({ child }) => String((await once(child.stdout ?? assert.fail(), "data"))[0])),
  );
  for (const { child } of children) child.stdin?.end();
  await Promise.all(children);

  const ports = output.flatMap((text) => text.trim().split(" ").map(Number));
  assert.equal(new Set(ports).size, 1200);
});

test("a port may be taken, left and taken again, and is below those the kernel gives away", async () => {
  const port = await freePort();
  assert.ok(port >= 12_000 && port < 30_000);
  for (let times = 0; times < 2; times++) {
    const server = createServer().listen(port);
    await once(server, "listening");
    server.close();
    await once(server, "close");
  }
});

test("a program that ends is told at once, with what it wrote", async () => {
  const program = await Program.start("sh", { args: ["-c", "echo no such disk; exit 1"], cwd: tmpdir() });
  await assert.rejects(
    program.ready("it answers", () => Promise.resolve(false)),
    /^Error: Waiting until it answers: the program ended\nno such disk/,
  );
});

test("a wait that is over tells the last error", async () => {
  const wait = until("it answers", () => Promise.reject(new Error("connection refused")), 10);
  await assert.rejects(wait, /Waiting until it answers took longer than .*; at last: connection refused$/);
});
