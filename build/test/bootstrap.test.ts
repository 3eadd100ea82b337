import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { promisify } from "node:util";

const run = promisify(execFile);
const SCRIPT = join(import.meta.dirname, "../bootstrap.sh");
// What the script itself calls, and what it looks for.
const REAL = ["sh", "dirname", "cmp", "cat"];
const TOOLS = ["gcc", "strip", "ip", "ps", "unshare", "openssl", "curl", "python3", "git", "bzip2", "wget", "zstd"];

interface Machine {
  readonly checkout: string;
  readonly bin: string;
  /** Runs the script and returns what programs were called, one line each. */
  readonly start: (
    ...args: string[]
  ) => Promise<{ readonly calls: string[]; readonly code: number; readonly stderr: string }>;
}

/** A checkout and a PATH of their own; programs that would change anything only write down how they were called. */
async function machine(t: TestContext): Promise<Machine> {
  const folder = await mkdtemp(join(tmpdir(), "k3s-bootstrap-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const [checkout, bin, calls] = [join(folder, "checkout"), join(folder, "bin"), join(folder, "calls")];
  for (const path of [
    join(checkout, "build"),
    join(checkout, "node_modules/.bin"),
    join(checkout, "node_modules/.pnpm"),
    join(checkout, "dist"),
    bin,
  ])
    await mkdir(path, { recursive: true });
  await cp(SCRIPT, join(checkout, "build/bootstrap.sh"));
  await writeFile(join(checkout, "package.json"), '{ "packageManager": "pnpm@10.0.0" }');
  for (const path of ["pnpm-lock.yaml", "node_modules/.pnpm/lock.yaml"]) await writeFile(join(checkout, path), "lock");
  const recorder = (name: string) => `#!/bin/sh\necho "${name} $*" >> ${calls}\n`;
  for (const name of REAL) await symlink(join("/bin", name), join(bin, name));
  for (const name of [...TOOLS, "apt-get", "npm"]) await writeFile(join(bin, name), recorder(name), { mode: 0o755 });
  await writeFile(join(bin, "id"), "#!/bin/sh\necho 0\n", { mode: 0o755 });
  await writeFile(join(bin, "uname"), '#!/bin/sh\n[ "$1" = -s ] && echo Linux || echo x86_64\n', { mode: 0o755 });
  const node = "#!/bin/sh\ncase $2 in *versions*) echo 20 ;; *packageManager*) echo pnpm@10.0.0 ;; esac\n";
  await writeFile(join(bin, "node"), node, { mode: 0o755 });
  await writeFile(join(checkout, "node_modules/.bin/node"), recorder("node24"), { mode: 0o755 });
  await writeFile(join(checkout, "dist/k3s"), recorder("k3s"), { mode: 0o755 });
  const start = async (...args: string[]) => {
    const result = await run("/bin/sh", [join(checkout, "build/bootstrap.sh"), ...args], { env: { PATH: bin } }).then(
      ({ stderr }) => ({ code: 0, stderr }),
      (error: unknown) => error as { code: number; stderr: string },
    );
    const text = await readFile(calls, "utf8").catch(() => "");
    return { calls: text.split("\n").filter(Boolean), code: result.code, stderr: result.stderr };
  };
  return { checkout, bin, start };
}

const BUILD_AND_RUN = ["node24 packages/native/build.ts", "node24 build/src/dist.ts"];

describe("bootstrap.sh", () => {
  test("fetches nothing when all is there, then builds and runs the server with the caller's arguments", async (t) => {
    const { start } = await machine(t);
    const { calls, code } = await start("up", "--node-name", "a");
    assert.deepEqual({ calls, code }, { calls: [...BUILD_AND_RUN, "k3s server --node-name a"], code: 0 });
  });

  test("runs the tests with the pinned Node", async (t) => {
    const { start } = await machine(t);
    const { calls } = await start("test", "unit");
    assert.deepEqual(calls, ["node24 packages/native/build.ts", "node24 build/src/test.ts unit"]);
  });

  for (const [task, program] of [
    ["build", "build/src/dist.ts"],
    ["release", "build/src/dist.ts --release"],
    ["reproduce", "build/src/reproduce.ts"],
  ] as const) {
    test(`prepares a fresh clone for ${task}, then hands over the caller's arguments`, async (t) => {
      const { start, checkout } = await machine(t);
      await rm(join(checkout, "node_modules/.pnpm/lock.yaml"));
      const { calls, code } = await start(task, "--source", "debian");
      const install = "npm exec --yes pnpm@10.0.0 -- install --frozen-lockfile";
      const prepared = [install, "node24 packages/native/build.ts"];
      assert.deepEqual({ calls, code }, { calls: [...prepared, `node24 ${program} --source debian`], code: 0 });
    });
  }

  test("stands behind every script that needs a prepared machine", async () => {
    const { scripts } = JSON.parse(await readFile(join(import.meta.dirname, "../../package.json"), "utf8")) as {
      readonly scripts: Readonly<Record<string, string>>;
    };
    for (const task of ["build", "release", "reproduce", "test"])
      assert.equal(scripts[task], `sh build/bootstrap.sh ${task}`);
  });

  test("installs exactly the packages that are missing, and waits for apt's lock", async (t) => {
    const { start, bin } = await machine(t);
    for (const name of ["ip", "strip"]) await rm(join(bin, name));
    const { calls } = await start("up");
    assert.deepEqual(calls.slice(0, 2), [
      "apt-get -o DPkg::Lock::Timeout=300 -qq update",
      "apt-get -o DPkg::Lock::Timeout=300 -qq install -y --no-install-recommends binutils iproute2",
    ]);
  });

  test("installs libraries with the named pnpm when the lockfile has changed", async (t) => {
    const { start, checkout } = await machine(t);
    await writeFile(join(checkout, "pnpm-lock.yaml"), "another lock");
    const { calls } = await start("up");
    assert.equal(calls[0], "npm exec --yes pnpm@10.0.0 -- install --frozen-lockfile");
  });

  test("does not run the server when the build fails", async (t) => {
    const { start, checkout } = await machine(t);
    await writeFile(join(checkout, "node_modules/.bin/node"), '#!/bin/sh\n[ "$1" != build/src/dist.ts ]\n', {
      mode: 0o755,
    });
    const { calls, code } = await start("up");
    assert.deepEqual({ calls, code }, { calls: [], code: 1 });
  });

  const refusals: readonly {
    readonly name: string;
    readonly program: string;
    readonly body: string;
    readonly code: string;
  }[] = [
    { name: "another user than root", program: "id", body: "echo 1000", code: "ERR_BUILD_NOT_ROOT" },
    {
      name: "another processor",
      program: "uname",
      body: '[ "$1" = -s ] && echo Linux || echo aarch64',
      code: "ERR_BUILD_MACHINE",
    },
    { name: "another system", program: "uname", body: "echo Darwin", code: "ERR_BUILD_MACHINE" },
    { name: "a Node that is too old", program: "node", body: "echo 16", code: "ERR_BUILD_NODE" },
  ];
  for (const { name, program, body, code } of refusals) {
    test(`refuses ${name} before it changes anything`, async (t) => {
      const { start, bin } = await machine(t);
      await writeFile(join(bin, program), `#!/bin/sh\n${body}\n`, { mode: 0o755 });
      const result = await start("up");
      assert.equal(result.code, 1);
      assert.match(result.stderr, new RegExp(`^\\nError ${code}: Cannot .*\\n  [A-Z].*\\n$`));
      assert.deepEqual(result.calls, []);
    });
  }

  test("refuses a machine without npm", async (t) => {
    const { start, bin } = await machine(t);
    await rm(join(bin, "npm"));
    assert.match((await start("up")).stderr, /ERR_BUILD_NODE/);
  });

  test("refuses to go on when a package cannot be installed", async (t) => {
    const { start, bin } = await machine(t);
    await rm(join(bin, "gcc"));
    await writeFile(join(bin, "apt-get"), "#!/bin/sh\nexit 100\n", { mode: 0o755 });
    const { stderr, code, calls } = await start("up");
    assert.equal(code, 1);
    assert.match(stderr, /Error ERR_BUILD_TOOLS: Cannot install gcc/);
    assert.deepEqual(calls, []);
  });

  test("refuses an unknown task", async (t) => {
    const { start } = await machine(t);
    assert.match((await start("down")).stderr, /Error ERR_BUILD_TASK: Cannot do "down"/);
  });
});
