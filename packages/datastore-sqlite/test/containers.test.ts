import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { describe, test, type TestContext } from "node:test";
import { openElsewhere, sql } from "./support/python.ts";
import { storeAt, tempDatabase } from "./support/temp-store.ts";

const UNIQUE = "CREATE UNIQUE INDEX kine_name_prev_revision_uindex ON kine (name, prev_revision)";
const CREATION = "INSERT INTO kine (name, created, deleted, prev_revision) VALUES ('/twice', 1, 0, 0)";
const UNSHARE = ["--pid", "--fork", "--mount-proc", "--kill-child"];

/** A server that sees no process but itself, on the file at `path`; answers with what it says up to when it is open or gives up. */
async function startInContainer(t: TestContext, path: string) {
  const fixture = new URL("fixtures/server.ts", import.meta.url).pathname;
  const child = spawn("unshare", [...UNSHARE, process.execPath, fixture, path], { stdio: ["pipe", "pipe", "inherit"] });
  t.after(() => child.kill("SIGKILL"));
  const ended = once(child, "exit");
  const lines: string[] = [];
  for await (const line of createInterface(child.stdout)) {
    lines.push(line);
    if (line === "open") break;
  }
  const close = async () => {
    child.stdin.end();
    await ended;
  };
  return { said: lines.join("\n"), close };
}

describe("a server in a container, which cannot see the processes outside", () => {
  test("keeps kine's guard while a kine outside has the file open", async (t) => {
    const path = await tempDatabase(t);
    await (await storeAt(t, path)).close();
    await sql(path, UNIQUE);
    const kine = await openElsewhere(t, path);
    const { said, close } = await startInContainer(t, path);
    assert.match(said, /another program has the datastore open[^]*\nopen$/);
    await sql(path, CREATION);
    await assert.rejects(sql(path, CREATION), /UNIQUE constraint/);
    await close();
    await kine.close();
  });

  test("is refused a file that one of our servers outside has open, with where to look", async (t) => {
    const path = await tempDatabase(t);
    await storeAt(t, path);
    const { said, close } = await startInContainer(t, path);
    assert.match(said, new RegExp(`it is in use by process ${process.pid}`));
    assert.match(said, /Stop the other server.* In a container processes have other ids/);
    await close();
  });
});
