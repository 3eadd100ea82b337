import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { FROM_DIST, InstallerMachine, PLAIN_EXECUTABLE } from "./installer-machine.ts";

const DATA = "/var/lib/rancher/k3s";
const UNINSTALL = "/usr/local/bin/k3s-uninstall.sh";

/** With /fixture/disk, that is somebody else's. */
async function installed(t: TestContext): Promise<InstallerMachine> {
  const machine = await InstallerMachine.withDist(t, PLAIN_EXECUTABLE);
  await machine.write("/fixture/disk/folder/precious", "precious");
  const result = await machine.install([], FROM_DIST);
  assert.equal(result.code, 0, result.stderr);
  return machine;
}

async function mount(machine: InstallerMachine, ...args: readonly string[]): Promise<void> {
  await machine.run(["mkdir", "-p", args.at(-1) ?? ""]);
  const { code, stderr } = await machine.run(["mount", ...args]);
  assert.equal(code, 0, stderr);
}

async function assertDiskIsWhole(machine: InstallerMachine): Promise<void> {
  assert.equal(await machine.read("/fixture/disk/folder/precious"), "precious");
}

describe("k3s-killall.sh and k3s-uninstall.sh never reach into what is mounted", () => {
  test("where the kubelet's folder is a link to another place", async (t) => {
    const machine = await installed(t);
    await machine.run(["mkdir", "-p", "/srv/kubelet/pods"]);
    await machine.run(["ln", "-s", "/srv/kubelet", "/var/lib/kubelet"]);
    await mount(machine, "--bind", "/fixture/disk", "/srv/kubelet/pods/one/volumes/a volume");
    const { stderr } = await machine.runApart(["/usr/local/bin/k3s-killall.sh"]);
    await assertDiskIsWhole(machine);
    assert.equal((await machine.run(["ls", "/srv/kubelet"])).stdout, "", stderr);
    await machine.runApart([UNINSTALL]);
    assert.equal((await machine.run(["readlink", "/var/lib/kubelet"])).stdout, "/srv/kubelet\n");
  });

  const spellings = { plainly: "/srv/k3s", "with a slash at its end": "/srv/k3s//", "through a link": "/srv/link/k3s" };
  for (const [how, K3S_DATA_DIR] of Object.entries(spellings)) {
    test(`where the data folder is named ${how}`, async (t) => {
      const machine = await installed(t);
      await machine.write("/srv/k3s/server/db/state.db", "rows");
      await machine.run(["ln", "-s", "/srv", "/srv/link"]);
      await mount(machine, "--bind", "/fixture/disk", "/srv/k3s/storage");
      const { stderr } = await machine.runApart([UNINSTALL], { K3S_DATA_DIR });
      await assertDiskIsWhole(machine);
      assert.match(stderr, /^\/srv\/k3s\/storage stays: something is mounted there$/m);
      assert.equal((await machine.run(["ls", "/srv/k3s"])).stdout, "storage\n");
    });
  }

  test("by the disk that the data is on", async (t) => {
    const machine = await installed(t);
    await machine.write(`${DATA}/.hidden`, "");
    for (const [name, source] of Object.entries({ "pv one": "/fixture/disk", two: "/fixture/disk/folder" }))
      await mount(machine, "--bind", source, `${DATA}/storage/${name}`);
    await mount(machine, "-t", "tmpfs", "tmpfs", `${DATA}/storage/three/deep`);
    await machine.write(`${DATA}/storage/three/deep/precious`, "precious");
    await machine.write(`${DATA}/storage/local`, "gone");
    await machine.runApart([UNINSTALL]);
    await assertDiskIsWhole(machine);
    assert.equal(await machine.read(`${DATA}/storage/three/deep/precious`), "precious");
    assert.equal((await machine.run(["ls", "-A", DATA, `${DATA}/storage`])).stdout.match(/hidden|local/), null);
  });

  test("a data folder that is a disk or a link of its own is emptied, and stays", async (t) => {
    const machine = await installed(t);
    await machine.run(["mkdir", "-p", "/fixture/data"]);
    await mount(machine, "--bind", "/fixture/data", DATA);
    await machine.write(`${DATA}/server/db/state.db`, "rows");
    await machine.runApart([UNINSTALL]);
    assert.equal((await machine.run(["ls", "-A", "/fixture/data"])).stdout, "");
    assert.equal((await machine.run(["mountpoint", "-q", DATA])).code, 0);
  });

  test("the root is not taken for a data folder", async (t) => {
    const machine = await installed(t);
    for (const K3S_DATA_DIR of ["/", "//"]) {
      // With this argument it would do nothing else.
      const { code, stderr } = await machine.runApart(["/usr/local/bin/k3s-killall.sh", "--if-shutdown"], {
        K3S_DATA_DIR,
      });
      assert.equal(code, 1);
      assert.match(stderr, /^Cannot end k3s with its data in "\/": that is not a folder of its own$/m);
    }
  });

  for (const K3S_DATA_DIR of ["/usr", "usr", "/usr/../usr/", "/var/lib", "."]) {
    test(`"${K3S_DATA_DIR}" is not taken for a data folder`, async (t) => {
      const machine = await installed(t);
      const before = await machine.changedFiles();
      for (const script of [UNINSTALL, "/usr/local/bin/k3s-killall.sh"]) {
        const { code, stderr } = await machine.runApart([script], { K3S_DATA_DIR });
        assert.equal(code, 1);
        assert.match(stderr, /^Cannot end k3s with its data in ".+": that is not a folder of its own$/m);
      }
      assert.deepEqual(await machine.changedFiles(), before);
    });
  }
});
