import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { parse } from "yaml";
import { writeKubeletFiles, type KubeletFilesOptions } from "../src/kubelet-files.ts";
import { fullOptions } from "./node-options.ts";

async function options(t: TestContext, changes: Partial<KubeletFilesOptions> = {}): Promise<KubeletFilesOptions> {
  const folder = await mkdtemp(join(tmpdir(), "kubelet-files-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return { ...fullOptions(), agentDirectory: join(folder, "agent"), resolvConf: "/etc/resolv.conf", ...changes };
}

async function readYaml(path: string): Promise<Record<string, unknown>> {
  return parse(await readFile(path, "utf8")) as Record<string, unknown>; // a map, or the assertions fail
}

describe("writeKubeletFiles()", () => {
  test("writes the defaults as a private drop-in", async (t) => {
    const given = await options(t, { kubernetesVersion: "v1.34.0" });
    await writeKubeletFiles(given);
    const path = join(given.agentDirectory, "etc/kubelet.conf.d/00-k3s-defaults.conf");
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    assert.equal((await readYaml(path))["kind"], "KubeletConfiguration");
    assert.equal((await stat(join(given.agentDirectory, "pod-manifests"))).mode & 0o777, 0o750);
    await assert.rejects(stat(join(given.agentDirectory, "etc/kubelet-config.yaml")), { code: "ENOENT" });
  });

  test("copies the user's configuration behind the defaults and takes the flags away", async (t) => {
    const given = await options(t, { kubernetesVersion: "v1.34.0" });
    const own = join(given.agentDirectory, "../own.yaml");
    const folder = join(given.agentDirectory, "../own.d");
    await mkdir(folder);
    await writeFile(own, "maxPods: 50\n");
    await writeFile(join(folder, "1.conf"), "maxPods: 60\n");
    const kubeletArgs = [`config=${own}`, `--config-dir=${folder}`, "v=4"];
    const { userArgs, config } = await writeKubeletFiles({ ...given, kubeletArgs });
    assert.deepEqual(userArgs, ["v=4"]);
    assert.equal(config["maxPods"], 60);
    const dropIns = join(given.agentDirectory, "etc/kubelet.conf.d");
    assert.equal((await readYaml(join(dropIns, "10-cli-config.conf")))["maxPods"], 50);
    assert.equal((await readYaml(join(dropIns, "20-cli-config-dir/1.conf")))["maxPods"], 60);
    await writeKubeletFiles(given);
    await assert.rejects(stat(join(dropIns, "10-cli-config.conf")), { code: "ENOENT" });
    await assert.rejects(stat(join(dropIns, "20-cli-config-dir")), { code: "ENOENT" });
  });

  test("merges all drop-ins to one file for releases that read one", async (t) => {
    const given = await options(t);
    const dropIns = join(given.agentDirectory, "etc/kubelet.conf.d");
    await mkdir(dropIns, { recursive: true });
    await writeFile(
      join(dropIns, "50-own.conf"),
      "maxPods: 70\nevictionHard:\n  memory.available: 200Mi\nclusterDNS: [192.0.2.53]\n",
    );
    await writeFile(join(dropIns, "60-own.yaml"), "maxPods: 80\n");
    await writeKubeletFiles(given);
    const merged = await readYaml(join(given.agentDirectory, "etc/kubelet-config.yaml"));
    assert.equal(merged["maxPods"], 70);
    assert.deepEqual(merged["evictionHard"], {
      "imagefs.available": "5%",
      "nodefs.available": "5%",
      "memory.available": "200Mi",
    });
    assert.deepEqual(merged["clusterDNS"], ["192.0.2.53"]);
    assert.equal(merged["failSwapOn"], false);
  });

  test("names the file that it cannot read", async (t) => {
    const given = await options(t);
    const own = join(given.agentDirectory, "../own.yaml");
    await writeFile(own, "- a list\n");
    await assert.rejects(writeKubeletFiles({ ...given, kubeletArgs: [`config=${own}`] }), {
      code: "ERR_KUBELET_CONFIG",
      message: /10-cli-config\.conf/,
    });
  });
});
