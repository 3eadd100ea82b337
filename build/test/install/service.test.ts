import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { provideSystemctl, takeCalls } from "./fake-systemctl.ts";
import { FROM_DIST, InstallerMachine, PLAIN_EXECUTABLE } from "./installer-machine.ts";

/** With a service manager. */
const ENV = { ...FROM_DIST, INSTALL_K3S_SKIP_ENABLE: "false" };
const UNIT = "/etc/systemd/system/k3s.service";

async function managedMachine(t: TestContext, executable = PLAIN_EXECUTABLE): Promise<InstallerMachine> {
  const machine = await InstallerMachine.withDist(t, executable);
  await provideSystemctl(machine);
  return machine;
}

test("install.sh asks for the node with a limit, and with the data folder of the service", async (t) => {
  const executable = `#!/bin/sh
case $1 in
  --version) echo "k3s version v1.30.1+k3s1 (0123abcd)" ;;
  validate) printf 'Data directory: /srv/k3s\\nNode: one\\n' ;;
  kubectl) printf '%s\\n' "$K3S_DATA_DIR" "$@" >/fixture/kubectl; echo "True: it is" ;;
esac
`;
  const machine = await managedMachine(t, executable);
  const { code, stdout } = await machine.install([], ENV);
  assert.equal(code, 0);
  assert.match(stdout, /k3s is ready\n$/);
  const [dataDir, ...args] = (await machine.read("/fixture/kubectl")).split("\n");
  assert.equal(dataDir, "/srv/k3s");
  assert.ok(args.includes("--request-timeout=5s"));
});

describe("another k3s on the machine", () => {
  const agents = ["/etc/systemd/system", "/usr/local/lib/systemd/system", "/usr/lib/systemd/system"];
  for (const folder of agents) {
    test(`is found in ${folder}`, async (t) => {
      const machine = await managedMachine(t);
      const text = "[Service]\nExecStart=-/opt/bin/k3s \\\n    agent \\\n\t'--debug'\n";
      await machine.write(`${folder}/k3s-east.service`, text, 0o600);
      await machine.write("/fixture/active/k3s-east", "");
      const { code, stderr } = await machine.install([], ENV);
      assert.equal(code, 1);
      assert.match(stderr, /Cannot install service "k3s": service "k3s-east" of k3s is on this machine/);
    });
  }

  test("is not what only has a name like it", async (t) => {
    const machine = await managedMachine(t);
    const folder = "/etc/systemd/system";
    const others = {
      "k3s-backup.timer": "[Timer]\nOnCalendar=daily\n",
      "k3s-backup.service": "[Service]\nExecStart=/usr/local/bin/backup-k3s server\n",
      "k3s-shell.service": "[Service]\nExecStart=/usr/local/bin/k3s kubectl get nodes server\n",
    };
    for (const [name, text] of Object.entries(others)) {
      await machine.write(`${folder}/${name}`, text);
      for (const state of ["active", "enabled"])
        await machine.write(`/fixture/${state}/${name.replace(".service", "")}`, "");
    }
    const { code, stderr } = await machine.install([], ENV);
    assert.deepEqual([code, stderr], [0, ""]);
    const removed = await machine.runApart(["/usr/local/bin/k3s-uninstall.sh"]);
    assert.doesNotMatch(removed.stdout, /Another k3s/);
    const expected = Object.keys(others).map((name) => `${folder}/${name}`);
    assert.deepEqual(await machine.changedFiles(), [...expected, "/usr/local/bin/systemctl"].sort());
  });
});

describe("run again, install.sh", () => {
  const first = {
    INSTALL_K3S_TYPE: "exec",
    INSTALL_K3S_BIN_DIR: "/opt/k3s/bin",
    INSTALL_K3S_SYSTEMD_DIR: "/opt/k3s/units",
  };
  const moved = "/opt/k3s/units/k3s.service";

  async function installedElsewhere(t: TestContext): Promise<InstallerMachine> {
    const machine = await managedMachine(t);
    await machine.install(["--disable-scheduler"], { ...ENV, ...first, K3S_NODE_NAME: "one" });
    await takeCalls(machine);
    return machine;
  }

  test("keeps type and folders of the service", async (t) => {
    const machine = await installedElsewhere(t);
    const files = await machine.changedFiles();
    const unit = await machine.read(moved);
    assert.match(unit, /\nType=exec\n[^]*\nExecStart=\/opt\/k3s\/bin\/k3s \\\n/);
    const { stdout } = await machine.install([], ENV);
    assert.match(stdout, /Keeping the settings of k3s\n[^]*No change detected/);
    assert.equal(await machine.read(moved), unit);
    assert.deepEqual(await machine.changedFiles(), files);
  });

  test("shows how type and folders change", async (t) => {
    const machine = await installedElsewhere(t);
    const { stdout } = await machine.install([], { ...ENV, INSTALL_K3S_TYPE: "notify" });
    assert.match(stdout, /\n {2}- INSTALL_K3S_TYPE=exec\n {2}\+ INSTALL_K3S_TYPE=notify\n\[INFO\]/);
  });

  test("moves a service to the usual folder with its flags and variables", async (t) => {
    const machine = await installedElsewhere(t);
    const place = { INSTALL_K3S_SYSTEMD_DIR: "/etc/systemd/system" };
    const { stdout } = await machine.install([], { ...ENV, ...place });
    assert.match(
      stdout,
      /\n {2}- INSTALL_K3S_SYSTEMD_DIR=\/opt\/k3s\/units\n {2}\+ INSTALL_K3S_SYSTEMD_DIR=\/etc\/systemd\/system\n/,
    );
    assert.match(await machine.read(UNIT), /\nType=exec\n[^]*server \\\n\t"--disable-scheduler"\n$/);
    assert.equal(await machine.read(`${UNIT}.env`), "K3S_NODE_NAME=one\n");
    assert.ok(!(await machine.changedFiles()).some((path) => path.startsWith("/opt/k3s/units")));
    assert.equal((await machine.run(["test", "-L", UNIT])).code, 1);
    assert.deepEqual((await takeCalls(machine)).slice(0, 3), ["disable k3s", "daemon-reload", `enable ${UNIT}`]);
  });

  test("takes a folder that is a link for the one that it leads to", async (t) => {
    const machine = await installedElsewhere(t);
    await machine.run(["ln", "-s", "/opt/k3s/units", "/opt/link"]);
    const { code } = await machine.install(["--debug"], { ...ENV, INSTALL_K3S_SYSTEMD_DIR: "/opt/link" });
    assert.equal(code, 0);
    assert.match(await machine.read(moved), /"--disable-scheduler" \\\n\t"--debug"\n$/);
  });

  test("forgets them all when it is told to", async (t) => {
    const machine = await installedElsewhere(t);
    await machine.install([], { ...ENV, INSTALL_K3S_KEEP: "false" });
    assert.match(await machine.read(UNIT), /\nType=notify\n[^]*\nExecStart=\/usr\/local\/bin\/k3s \\\n {4}server\n$/);
    assert.ok(!(await machine.changedFiles()).includes(moved));
  });
});
