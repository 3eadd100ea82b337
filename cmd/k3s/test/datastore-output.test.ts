import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { Writable } from "node:stream";
import { describe, test, type TestContext } from "node:test";
import { promisify } from "node:util";
import { until } from "@k3s/testkit";
import { OutputError } from "../src/errors.ts";
import { StandardOutput } from "../src/standard-output.ts";
import { commandLine, run, temporaryFolder } from "./cli-process.ts";
import { node, sql } from "./datastore-node.ts";

const execute = promisify(execFile);

/** Less than a pipe takes of which nobody reads. */
const PIPE_BYTES = 128 * 1024;

/** A datastore that nobody serves, with so many keys whose values are `bytes` long. */
async function keys(t: TestContext, { count, bytes }: { readonly count: number; readonly bytes: number }) {
  const { dataDir, file, serve } = await node(t);
  await (await serve()).stop();
  await sql(
    file,
    `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count})
     INSERT INTO kine (name, created, deleted, create_revision, prev_revision, lease, value)
     SELECT '/many/' || i, 1, 0, 0, 0, 0, zeroblob(${bytes}) FROM n`,
  );
  return dataDir;
}

describe("k3s datastore, by what becomes of its output", () => {
  test("says that stdout takes nothing, and fails", async (t) => {
    const dataDir = await keys(t, { count: 10, bytes: 10 });
    for (const tool of ["status", "check", "dump"]) {
      const wrapper = ["sh", "-c", 'exec "$@" > /dev/full', "sh"];
      const { code, stderr } = await run(t, ["datastore", tool, `--data-dir=${dataDir}`], { wrapper });
      assert.equal(code, 1, tool);
      assert.match(stderr, /^Error: Cannot write the output: stdout does not take all of it.*ENOSPC/, tool);
      assert.match(stderr, /^Hint: {2}Make room on the disk/m);
    }
  });

  test("fails when the last piece of its output finds room for its first part alone", async (t) => {
    const dataDir = await keys(t, { count: 40, bytes: 1000 });
    const folder = await temporaryFolder(t);
    const [whole, mount] = [await run(t, ["datastore", "dump", "--json", `--data-dir=${dataDir}`]), join(folder, "m")];
    await mkdir(mount);
    const script =
      'mount -t tmpfs -o size=16k none "$0" && { "$@" > "$0/out"; echo "code $?"; stat -c "size %s" "$0/out"; }';
    const command = commandLine(["datastore", "dump", "--json", `--data-dir=${dataDir}`]);
    const { stdout, stderr } = await execute("unshare", ["-m", "sh", "-c", script, mount, ...command]);
    const size = Number(/size (\d+)/.exec(stdout)?.[1]);
    assert.ok(size > 0 && size < whole.stdout.length, stdout);
    assert.match(stdout, /^code 1$/m);
    assert.match(stderr, /^Code: {2}ERR_OUTPUT$/m);
  });

  test("ends at SIGINT while its reader takes nothing", async (t) => {
    const dataDir = await keys(t, { count: 4000, bytes: 1000 });
    const [file = "", ...args] = commandLine(["datastore", "dump", "--json", `--data-dir=${dataDir}`]);
    const child = spawn(file, args, { stdio: ["ignore", "pipe", "ignore"], env: { K3S_CONFIG_FILE: "/dev/null" } });
    t.after(() => child.kill("SIGKILL"));
    const exit = once(child, "exit");
    await once(child.stdout, "readable");
    await until("the pipe is about full", async () => {
      const written = /wchar: (\d+)/.exec(await readFile(`/proc/${child.pid}/io`, "utf8"))?.[1];
      return Number(written) > PIPE_BYTES;
    });
    child.kill("SIGINT");
    assert.deepEqual(await exit, [1, null]);
  });
});

describe("StandardOutput.written()", () => {
  const failing = (code: string) => {
    const error = Object.assign(new Error("broken"), { code });
    const stream = new Writable({ write: (_chunk, _encoding, done) => done(error) });
    stream.on("error", () => undefined);
    return new StandardOutput(stream, undefined);
  };

  test("resolves when nobody reads any more", async () => {
    const output = failing("EPIPE");
    output.write("text");
    await output.written();
  });

  test("rejects when the reader cannot get everything", async () => {
    const output = failing("EIO");
    output.write("text");
    await assert.rejects(output.written(), OutputError);
  });
});
