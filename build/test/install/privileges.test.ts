import assert from "node:assert/strict";
import { readdir, readFile, stat } from "node:fs/promises";
import { describe, test } from "node:test";
import { FROM_DIST, InstallerMachine } from "./installer-machine.ts";

const SECRET = "s3cr3t-of-the-cluster";

describe("install.sh, and who may do and see what", () => {
  test("a user with sudo installs what root would", async (t) => {
    const machine = await InstallerMachine.withDist(t);
    const { code, stderr } = await machine.installAsUser([], FROM_DIST);
    assert.deepEqual([code, stderr], [0, ""]);
    for (const script of ["killall", "uninstall"])
      assert.match(await machine.read(`/usr/local/bin/k3s-${script}.sh`), /:-'\/var\/lib\/rancher\/k3s'\}/);
    assert.equal((await stat(machine.path("/usr/local/bin/k3s"))).uid, 0);
  });

  test("a user with sudo may have settings that only root can read", async (t) => {
    const machine = await InstallerMachine.withDist(t);
    await machine.write("/etc/rancher/k3s/config.yaml", "data-dir: /srv/k3s\n", 0o600);
    await machine.write("/fixture/images/a.tar", "archive");
    const env = { ...FROM_DIST, INSTALL_K3S_IMAGES: "/fixture/images/a.tar", K3S_TOKEN: SECRET };
    const before = await readdir(machine.path("/tmp")); // the checkout may lie there
    const { code, stderr } = await machine.installAsUser(["--disable-scheduler"], env);
    assert.deepEqual([code, stderr], [0, ""]);
    assert.equal(await machine.read("/srv/k3s/agent/images/a.tar"), "archive");
    assert.deepEqual(await readdir(machine.path("/tmp")), before);
  });

  test("nobody else can read a file with secrets, not even while it is written", async (t) => {
    const machine = await InstallerMachine.withDist(t);
    // The mode that each file has before its own is set.
    const watch = `#!/bin/sh\nfor file; do :; done\n/bin/stat -c %a "$file" >>/fixture/modes\nexec /bin/chmod "$@"\n`;
    await machine.write("/usr/local/bin/chmod", watch, 0o755);
    assert.equal((await machine.install([], { ...FROM_DIST, K3S_TOKEN: SECRET })).code, 0);
    const modes = (await machine.read("/fixture/modes")).trim().split("\n").slice(1); // the first is a trial
    assert.ok(modes.length >= 4);
    assert.deepEqual(
      modes.filter((mode) => !mode.endsWith("00")),
      [],
    );
  });

  test("a process list shows no secret at any moment", async (t) => {
    const machine = await InstallerMachine.withDist(t);
    const seen = new Set<string>();
    let isDone = false;
    const env = { ...FROM_DIST, K3S_AGENT_TOKEN: SECRET, INSTALL_K3S_EXEC: `server --token '${SECRET}'` };
    const installed = machine.install([], env).finally(() => (isDone = true));
    while (!isDone) for (const line of await commandLines()) if (line.includes(SECRET)) seen.add(line);
    assert.equal((await installed).code, 0);
    assert.deepEqual([...seen], []);
    assert.match(await machine.read("/etc/systemd/system/k3s.service"), new RegExp(`"--token" \\\\\n\t"${SECRET}"`));
  });
});

async function commandLines(): Promise<readonly string[]> {
  const ids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const read = (id: string) => readFile(`/proc/${id}/cmdline`, "utf8").catch(() => ""); // gone meanwhile
  return await Promise.all(ids.map(read));
}
