import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, readlink, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { layOutNetworkFiles } from "../src/index.ts";

async function place(t: TestContext) {
  const root = await mkdtemp(join(tmpdir(), "k3s-network-"));
  t.after(() => rm(root, { recursive: true }));
  const pluginDir = join(root, "data/cni");
  const executable = join(root, "k3s");
  await mkdir(pluginDir, { recursive: true });
  await writeFile(executable, "", { mode: 0o755 });
  const [confDir, netConfFile] = [join(root, "cni/net.d"), join(root, "flannel/net-conf.json")];
  const options = {
    backend: "vxlan" as const,
    clusterCidrs: ["10.42.0.0/16"],
    confDir,
    netConfFile,
    pluginDir,
    executable,
  };
  return { options, plugin: join(pluginDir, "flannel"), list: join(confDir, "10-flannel.conflist"), root };
}

describe("layOutNetworkFiles()", () => {
  test("writes list and configuration for root alone, and makes our executable the plugin", async (t) => {
    const { options, plugin, list } = await place(t);
    await layOutNetworkFiles(options);
    assert.equal(await readlink(plugin), options.executable);
    for (const path of [list, options.netConfFile]) assert.equal((await stat(path)).mode & 0o777, 0o600);
    assert.match(await readFile(list, "utf8"), /"type": "flannel"/);
  });

  test("touches nothing that is as it should be", async (t) => {
    const { options, list } = await place(t);
    await layOutNetworkFiles(options);
    const before = await stat(list);
    await layOutNetworkFiles(options);
    assert.equal((await stat(list)).ino, before.ino);
  });

  test("replaces a list of an earlier version", async (t) => {
    const { options, list } = await place(t);
    await mkdir(options.confDir, { recursive: true });
    await writeFile(list, "old");
    await layOutNetworkFiles(options);
    assert.match(await readFile(list, "utf8"), /"type": "flannel"/);
  });

  test("leaves a plugin that somebody else brought", async (t) => {
    const { options, plugin } = await place(t);
    await writeFile(plugin, "theirs", { mode: 0o755 });
    await layOutNetworkFiles(options);
    assert.equal(await readFile(plugin, "utf8"), "theirs");
  });

  test("repairs a link that leads nowhere", async (t) => {
    const { options, plugin, root } = await place(t);
    await symlink(join(root, "gone"), plugin);
    await layOutNetworkFiles(options);
    assert.equal(await readlink(plugin), options.executable);
  });

  test("refuses when there is no plugin and no executable to be it", async (t) => {
    const { options, root } = await place(t);
    const missing = layOutNetworkFiles({ ...options, executable: join(root, "absent") });
    await assert.rejects(missing, { code: "ERR_NETWORK_NO_PLUGIN" });
  });
});
