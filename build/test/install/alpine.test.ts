import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { chmod, copyFile, mkdir, mkdtemp, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { promisify } from "node:util";
import { findProgram } from "@k3s/testkit";
import { FROM_DIST, InstallerMachine, V1 } from "./installer-machine.ts";
import { startReleaseServer } from "./release-server.ts";

const V2 = "v1.30.2+k3s1";
/** The service manager: writes down how it was called; the service says that it is up. */
const COMMANDS: Readonly<Record<string, string>> = {
  "sbin/openrc-run": "",
  "sbin/rc-update": 'echo "rc-update $*" >>/fixture/calls',
  "sbin/rc-service": `
    echo "rc-service $*" >>/fixture/calls
    case $2 in
      status) [ -e /fixture/up ] ;;
      restart) touch /fixture/up; echo "INFO  k3s is up, see the cluster with: k3s kubectl get nodes" >>/var/log/$1.log ;;
    esac`,
};

/** A release for this machine: programs of ours need glibc, so it only answers as they do. */
function executableOf(version: string): string {
  return `#!/bin/sh
case $1 in
  --version) echo "k3s version ${version} (0123abcd)" ;;
  validate) echo "Data directory: /var/lib/rancher/k3s" ;;
esac
`;
}

/** Alpine's layout: busybox for every command, OpenRC, no bash, no curl. */
async function alpine(t: TestContext): Promise<InstallerMachine> {
  const root = await mkdtemp(join(tmpdir(), "k3s-alpine-"));
  t.after(() => rm(root, { recursive: true, force: true }));
  for (const folder of ["bin", "sbin", "dev", "proc", "run", "tmp", "sys", "etc/init.d", "etc/logrotate.d", "root"])
    await mkdir(join(root, folder), { recursive: true });
  for (const folder of ["usr/bin", "usr/sbin", "usr/local/bin", "var/log", "var/lib", "var/run"])
    await mkdir(join(root, folder), { recursive: true });
  await copyFile(await findProgram(join("aux", "busybox")), join(root, "bin/busybox"));
  const { stdout } = await promisify(execFile)(join(root, "bin/busybox"), ["--list"]);
  for (const applet of stdout.trim().split("\n"))
    if (applet !== "busybox") await symlink("busybox", join(root, "bin", applet));
  for (const [path, text] of Object.entries(COMMANDS)) {
    await writeFile(join(root, path), `#!/bin/sh\n${text}\n`);
    await chmod(join(root, path), 0o755);
  }
  return await InstallerMachine.create(t, root);
}

async function install(machine: InstallerMachine, env: Readonly<Record<string, string>>, ...args: readonly string[]) {
  await machine.provideScript();
  return await machine.run(["sh", "-c", 'sh -s - "$@" </fixture/install.sh', "sh", ...args], env);
}

describe("install.sh where busybox and OpenRC are all there is", () => {
  test("says that an executable which needs glibc cannot run", async (t) => {
    const machine = await alpine(t);
    await machine.provide("");
    await copyFile("/bin/true", machine.path("/fixture/dist/k3s"));
    const { code, stderr } = await install(machine, FROM_DIST);
    assert.equal(code, 1);
    assert.match(
      stderr,
      /^\[ERROR\] Cannot run k3s on this machine: it needs glibc, and there is none \(\/lib.*\n {8}Use a distribution with glibc/m,
    );
  });

  test("refuses a second k3s beside one that runs", async (t) => {
    const machine = await alpine(t);
    await machine.provide(executableOf(V1));
    assert.equal((await install(machine, FROM_DIST)).code, 0);
    const before = await machine.changedFiles();
    const { code, stderr } = await install(machine, { ...FROM_DIST, INSTALL_K3S_NAME: "east" });
    assert.equal(code, 1);
    assert.match(stderr, /Cannot install service "k3s-east": service "k3s" of k3s is on this machine/);
    assert.deepEqual(await machine.changedFiles(), before);
  });

  test("installs, starts and waits, keeps flags at the next release, and is uninstalled without a trace", async (t) => {
    const machine = await alpine(t);
    const server = await startReleaseServer(t);
    server.publish(V1, executableOf(V1));
    server.channel("stable", { redirect: V1 });
    const env = { INSTALL_K3S_MIRROR: server.url };
    const first = await install(machine, { ...env, K3S_TOKEN: "it's" }, "--node-label", "a=b c");
    assert.equal(first.code, 0, first.stderr);
    assert.match(first.stdout, /\[INFO\] {2}k3s is ready\n$/);
    assert.equal((await stat(machine.path("/etc/init.d/k3s"))).mode & 0o777, 0o700);
    assert.equal((await stat(machine.path("/etc/rancher/k3s/k3s.env"))).mode & 0o777, 0o600);

    server.publish(V2, executableOf(V2));
    server.channel("stable", { text: V2 });
    const second = await install(machine, env, "--disable-scheduler");
    assert.equal(second.code, 0, second.stderr);
    assert.match(second.stdout, /\n {2}\+ --disable-scheduler\n/);
    const line = `. /etc/init.d/k3s; eval "set -- $command_args"; printf '%s\\n' "$command" "$@" "$K3S_TOKEN"`;
    const words = ["/usr/local/bin/k3s", "server", "--node-label", "a=b c", "--disable-scheduler", "it's"];
    assert.deepEqual((await machine.run(["sh", "-c", line])).stdout.trim().split("\n"), words);
    assert.equal(await machine.read("/usr/local/bin/k3s"), executableOf(V2));

    const removed = await machine.runApart(["/usr/local/bin/k3s-uninstall.sh"]);
    assert.equal(removed.code, 0, removed.stderr);
    assert.deepEqual(await machine.changedFiles(), []);
    const calls = (await machine.read("/fixture/calls")).trim().split("\n");
    assert.deepEqual(
      calls.filter((call) => !call.includes("status") && !call.includes("show")),
      [
        ...["rc-update add k3s default", "rc-service k3s restart"],
        ...["rc-update add k3s default", "rc-service k3s restart", "rc-update delete k3s default"],
      ],
    );
  });
});
