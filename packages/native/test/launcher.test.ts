import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, test, type TestContext } from "node:test";
import { setTimeout as delay } from "node:timers/promises"; // eslint-disable-line no-restricted-imports -- lowest layer: there is no @k3s/async below it
import { promisify } from "node:util";
import { launcherPath } from "@k3s/native";

const run = promisify(execFile);
const PARENT = ["--parent", String(process.pid)];

interface Failure {
  readonly code: number;
  readonly stderr: string;
}

async function launch(...args: string[]): Promise<string> {
  return (await run(launcherPath(), [...PARENT, ...args])).stdout;
}

async function launchFailing(...args: string[]): Promise<Failure> {
  const failure: unknown = await launch(...args).then(
    () => undefined,
    (error: unknown) => error,
  );
  assert.ok(failure instanceof Error);
  const { code, stderr } = failure as Error & Failure; // what execFile() promises of its errors
  return { code, stderr };
}

function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "native-"));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

/** Fields of proc(5) stat from the third on. */
function statFields(text: string): string[] {
  return text.slice(text.lastIndexOf(")") + 2).split(" ");
}

describe("k3s-launch", () => {
  test("becomes the program, with its arguments as they are", async () => {
    assert.equal(await launch("--", "/usr/bin/printf", "%s|", "a b", "--parent", ""), "a b|--parent||");
  });

  test("dies with its parent when that is killed with SIGKILL", { timeout: 10_000 }, async (t) => {
    const script = `"${launcherPath()}" --parent $$ -- sleep 1000 & echo $!; wait`;
    const parent = spawn("/bin/sh", ["-c", script], { stdio: ["ignore", "pipe", "inherit"] });
    t.after(() => parent.kill("SIGKILL"));
    const { value } = await createInterface(parent.stdout)[Symbol.asyncIterator]().next();
    const pid = Number(value);
    while (!readFileSync(`/proc/${pid}/comm`, "utf8").startsWith("sleep")) await delay(5);
    parent.kill("SIGKILL");
    while (existsSync(`/proc/${pid}`) && !/^State:\tZ/m.test(readFileSync(`/proc/${pid}/status`, "utf8")))
      await delay(5);
  });

  test("refuses to start when the parent is gone already", async () => {
    const { code, stderr } = await launchFailing("--parent", "1", "--", "/bin/true");
    assert.deepEqual({ code, stderr }, { code: 125, stderr: "k3s-launch: Cannot start: the parent process is gone\n" });
  });

  test("resets ignored and blocked signals", async () => {
    const script = `trap '' TERM PIPE HUP; exec "${launcherPath()}" ${PARENT.join(" ")} -- grep -E '^Sig(Ign|Blk)' /proc/self/status`;
    const { stdout } = await run("/bin/sh", ["-c", script]);
    assert.equal(stdout, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
  });

  test("leads a session of its own when told so", async () => {
    const [, , group, session] = statFields(await launch("--session", "--", "/bin/cat", "/proc/self/stat"));
    assert.equal(group, session);
    const [, , , ownSession] = statFields(readFileSync("/proc/self/stat", "utf8"));
    assert.notEqual(session, ownSession);
  });

  test("does not hand on open files", async () => {
    const script = `exec 7</dev/null; exec "${launcherPath()}" ${PARENT.join(" ")} -- /bin/ls /proc/self/fd`;
    const { stdout } = await run("/bin/sh", ["-c", script]);
    assert.ok(!stdout.split("\n").includes("7"), stdout);
  });

  test("sets the oom score", async () => {
    assert.equal(await launch("--oom-score-adj", "700", "--", "/bin/cat", "/proc/self/oom_score_adj"), "700\n");
  });

  test("runs the program also where the oom score may not be lowered", async () => {
    const { stdout } = await run("/usr/bin/setpriv", [
      ...["--bounding-set", "-sys_resource", "--inh-caps", "-sys_resource", "--"],
      ...[launcherPath(), ...PARENT, "--oom-score-adj", "-900", "--", "/bin/echo", "ran"],
    ]);
    assert.equal(stdout, "ran\n");
  });

  test("starts in the folder it is given", async (t) => {
    const folder = temporaryFolder(t);
    assert.equal(await launch("--chdir", folder, "--", "/bin/pwd"), `${folder}\n`);
  });

  test("marks the program, and no other, as the owner's", async () => {
    const script = 'echo "$K3S_SUPERVISED_BY"; echo $$; cat /proc/$$/stat';
    const [mark, pid, stat = ""] = (await launch("--mark", "owner", "--", "/bin/sh", "-c", script)).split("\n");
    assert.equal(mark, `owner:${pid}:${statFields(stat)[19]}`);
  });

  test("looks a bare name up in PATH", async () => {
    assert.equal(await launch("--", "echo", "found"), "found\n");
  });

  const failures = [
    { name: "127 when there is no such file", file: "/nonexistent", code: 127, reason: "No such file or directory" },
    { name: "126 when the file is not executable", file: "/etc/passwd", code: 126, reason: "Permission denied" },
    { name: "126 when it is a folder", file: "/etc", code: 126, reason: "Permission denied" },
  ];
  for (const { name, file, code, reason } of failures) {
    test(`exits with ${name}, saying so`, async () => {
      const stderr = `k3s-launch: Cannot execute "${file}": ${reason}\n`;
      assert.deepEqual(await launchFailing("--", file), { code, stderr });
    });
  }

  test("does not run a damaged executable as a shell script", async (t) => {
    const file = join(temporaryFolder(t), "damaged");
    writeFileSync(file, "echo should not run\n", { mode: 0o755 });
    const stderr = `k3s-launch: Cannot execute "${file}": Exec format error\n`;
    assert.deepEqual(await launchFailing("--", file), { code: 126, stderr });
  });

  test("names the folder when that is missing", async () => {
    const stderr = 'k3s-launch: Cannot change to folder "/nonexistent": No such file or directory\n';
    assert.deepEqual(await launchFailing("--chdir", "/nonexistent", "--", "/bin/true"), { code: 127, stderr });
  });
});
