import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmod,
  chown,
  copyFile,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  truncate,
  writeFile,
} from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { after, before, describe, test, type TestContext } from "node:test";

import { tmpdir } from "node:os";
import { until } from "@k3s/testkit";
import { openFolder, smallExecutable } from "./support/small-executable.ts";

const NOBODY = 65534;

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly uid?: number;
}

describe("the one file", () => {
  let shared = "";
  let executable = "";
  before(async () => {
    shared = await mkdtemp(join(tmpdir(), "k3s-one-file-"));
    await chmod(shared, 0o755);
    executable = await smallExecutable(shared);
  });
  after(() => rm(shared, { recursive: true, force: true }));

  async function run(file: string, args: readonly string[], { env = {}, uid }: RunOptions = {}): Promise<Ended> {
    const child = spawn(file, args, {
      stdio: ["ignore", "pipe", "pipe"],
      env: { PATH: process.env["PATH"], K3S_CONFIG_FILE: "/dev/null", ...env },
      ...(uid === undefined ? {} : { uid, gid: uid }),
    });
    const [stdout, stderr, [code]] = await Promise.all([
      ...[text(child.stdout), text(child.stderr)],
      once(child, "exit") as Promise<[number | null]>,
    ] as const);
    return { code, stdout, stderr };
  }

  /** A home folder of nobody. */
  async function home(t: TestContext): Promise<string> {
    const folder = await openFolder(t);
    await chown(folder, NOBODY, NOBODY);
    return folder;
  }

  test("prints the two lines that tools parse", async () => {
    const { stdout, code } = await run(executable, ["--version"]);
    assert.match(
      stdout,
      /^k3s version v1\.30\.2\+k3s1 \(\w+\)\ngo version \S+ \(kube-apiserver\), node v24\.\d+\.\d+\n$/,
    );
    assert.equal(code, 0);
  });

  for (const [what, ...args] of [
    ["--version", "--version"],
    ["--help", "--help"],
    ["help of a command", "server", "--help"],
    ["licenses", "licenses"],
  ] as const) {
    test(`${what} unpacks nothing, whoever asks`, async (t) => {
      const folder = await home(t);
      const { code, stdout } = await run(executable, args, { uid: NOBODY, env: { HOME: folder, TMPDIR: folder } });
      assert.equal(code, 0);
      assert.ok(stdout.length > 10);
      assert.deepEqual(await readdir(folder), []);
    });
  }

  test("prints the licences that are inside", async () => {
    assert.equal((await run(executable, ["licenses"])).stdout, "the licences of all\n");
  });

  test("check-config knows the host tools that a node brings along, and leaves nothing behind", async (t) => {
    const folder = await openFolder(t);
    const env = { TMPDIR: folder, PATH: process.env["PATH"] ?? "" };
    const { stdout, stderr } = await run(executable, ["check-config", "--json", "-d", join(folder, "data")], { env });
    const { findings } = JSON.parse(stdout) as { findings: { id: string; status: string; found: string }[] };
    const iptables = findings.find(({ id }) => id === "iptables");
    assert.equal(iptables?.status, "ok", `${iptables?.found ?? ""} ${stderr}`);
    assert.deepEqual(await readdir(folder), []);
  });

  test("takes nothing from variables of Node", async () => {
    const env = { NODE_OPTIONS: "--require /nonexistent.js --inspect" };
    const { code, stderr } = await run(executable, ["--help"], { env });
    assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
  });

  for (const tool of ["kubectl", "ctr"]) {
    test(`is ${tool} when it is called by that name`, async (t) => {
      const folder = await openFolder(t);
      await symlink(executable, join(folder, tool));
      const dataDir = join(folder, "data");
      const { code, stdout } = await run(join(folder, tool), ["get", "a b"], { env: { K3S_DATA_DIR: dataDir } });
      assert.equal(code, 7);
      assert.match(stdout, new RegExp(`^${dataDir}/data/[0-9a-f]{64}/bin/${tool}\narg=get\narg=a b\n$`));
    });
  }

  test("is the CNI plugin flannel when it is called by that name", async (t) => {
    const folder = await openFolder(t);
    await symlink(executable, join(folder, "flannel"));
    const { stdout } = await run(join(folder, "flannel"), [], { env: { CNI_COMMAND: "VERSION" } });
    assert.match(stdout, /"supportedVersions"/);
  });

  test("unpacks for a user into the home folder, once", async (t) => {
    const folder = await home(t);
    const options = { uid: NOBODY, env: { HOME: folder, TMPDIR: folder } };
    const first = await run(executable, ["kubectl"], options);
    assert.match(first.stdout, new RegExp(`^${folder}/\\.rancher/k3s/data/[0-9a-f]{64}/bin/kubectl\n`));
    const { ino } = await stat(first.stdout.trim());
    const again = await run(executable, ["kubectl"], options);
    assert.equal((await stat(again.stdout.trim())).ino, ino);
  });

  test("unpacks among temporary files where the home folder cannot be written, into a folder of the user's own", async (t) => {
    const [place, temporary] = [await openFolder(t), await openFolder(t)];
    await chmod(place, 0o755);
    await chmod(temporary, 0o1777);
    const options = { uid: NOBODY, env: { HOME: place, TMPDIR: temporary } };
    const own = join(temporary, `k3s-${NOBODY}`);
    assert.ok((await run(executable, ["kubectl"], options)).stdout.startsWith(`${own}/data/`));
    await chown(own, 0, 0);
    const refused = await run(executable, ["kubectl"], options);
    assert.match(refused.stderr, /ERR_TOOL_NO_PLACE/);
    assert.equal(refused.code, 1);
  });

  test("uses the programs of the node where they are", async (t) => {
    const folder = await home(t);
    const dataDir = join(folder, "data");
    await run(executable, ["-d", dataDir, "kubectl"]);
    const options = { uid: NOBODY, env: { HOME: join(folder, "home"), K3S_DATA_DIR: dataDir } };
    assert.ok((await run(executable, ["kubectl"], options)).stdout.startsWith(`${dataDir}/data/`));
  });

  test("reads the data dir from the node's configuration", async (t) => {
    const folder = await openFolder(t);
    const config = join(folder, "config.yaml");
    await writeFile(config, `token: x\n"data-dir": '${folder}/other' # here\n`);
    const { stdout } = await run(executable, ["kubectl"], { env: { K3S_CONFIG_FILE: config } });
    assert.ok(stdout.startsWith(`${folder}/other/data/`), stdout);
  });

  test("says that it was cut, and what to do", async (t) => {
    const folder = await openFolder(t);
    const cut = join(folder, "k3s");
    await copyFile(executable, cut);
    await truncate(cut, (await stat(cut)).size - 10);
    const { code, stderr } = await run(cut, ["kubectl"], { env: { K3S_DATA_DIR: folder } });
    assert.match(stderr, /ERR_PAYLOAD_DAMAGED\nHint: {2}Get the file again/);
    assert.equal(code, 1);
  });

  test("stays one process, hides its arguments and runs its native parts, threads and memory settings", async (t) => {
    const folder = await openFolder(t);
    const socket = join(folder, "etcd.sock");
    const args = [
      "datastore",
      "serve",
      "--endpoint",
      `sqlite://${folder}/secret.db`,
      "--listen-address",
      `unix://${socket}`,
      "--metrics-bind-address",
      "0",
    ];
    const child = spawn(executable, args, { cwd: folder, stdio: ["ignore", "ignore", "pipe"] });
    t.after(() => child.kill("SIGKILL"));
    const log = text(child.stderr);
    await until("the datastore is served", () => answers(socket), 60_000).catch(async (error: unknown) => {
      child.kill("SIGKILL");
      throw new Error(await log, { cause: error });
    });
    const proc = `/proc/${child.pid ?? 0}`;
    assert.equal((await readFile(`${proc}/cmdline`, "utf8")).replace(/\0.*$/s, ""), "k3s datastore serve");
    assert.doesNotMatch(await readFile(`${proc}/cmdline`, "utf8"), /secret/);
    assert.match(await readFile(`${proc}/environ`, "utf8"), /(^|\0)MALLOC_ARENA_MAX=1\0/);
    assert.ok((await readdir(folder)).includes("secret.db"));
    const gone = once(child, "exit");
    child.kill("SIGTERM");
    assert.deepEqual(await gone, [0, null], await log);
  });
});

async function answers(path: string): Promise<boolean> {
  const socket = connect(path);
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
