import assert from "node:assert/strict";
import { chmod, mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { folderSource, type ComponentSource } from "@k3s/components";
import { toolPresets } from "../src/tools/tool-environment.ts";
import { toolSet } from "../src/tools/tool-set.ts";
import { run, start, temporaryFolder } from "./cli-process.ts";
import { writeComponentFolder } from "./component-folder.ts";

// Shows what the tool was started with, then ends with a code of its own.
const SCRIPT = `#!/bin/sh
echo "pid=$$ name=$0"
for arg in "$@"; do echo "arg=$arg"; done
echo "KUBECONFIG=$KUBECONFIG ADDRESS=$CONTAINERD_ADDRESS NAMESPACE=$CONTAINERD_NAMESPACE CRI=$CRI_CONFIG_FILE ARGV0=$K3S_ARGV0"
echo "PATH=$PATH"
exit 7
`;

async function components(t: TestContext, extra?: readonly string[]) {
  const folder = await temporaryFolder(t);
  await writeComponentFolder(folder, SCRIPT, extra);
  return { folder, env: { K3S_COMPONENTS_DIR: folder } };
}

describe("k3s kubectl, ctr and crictl", () => {
  test("become the tool: same process, its arguments as they are, its exit code", async (t) => {
    const { env, folder } = await components(t);
    const child = start(t, ["kubectl", "get", "pods", "--help", "-v", "a b"], { env });
    const { code, stdout, stderr } = await child.ended;
    assert.equal(code, 7);
    assert.equal(stderr, "");
    assert.match(stdout, new RegExp(`^pid=${child.pid ?? 0} `));
    assert.deepEqual(stdout.match(/(?<=^arg=).*/gm), ["get", "pods", "--help", "-v", "a b"]);
    assert.match(stdout, new RegExp(`^PATH=${folder}/bin/cni:${folder}/bin:.*:${folder}/bin/aux$`, "m"));
  });

  test("are found behind flags of k3s itself", async (t) => {
    const { env } = await components(t);
    const { code, stdout } = await run(t, ["--debug", "-d", "/srv", "ctr", "images", "ls"], { env });
    assert.equal(code, 7);
    assert.deepEqual(stdout.match(/(?<=^arg=).*/gm), ["images", "ls"]);
    assert.match(stdout, /ADDRESS=\/run\/k3s\/containerd\/containerd\.sock NAMESPACE=k8s\.io/);
  });

  test("are called by the name of the program", async (t) => {
    const { env } = await components(t);
    const { code, stdout } = await run(t, ["server", "--version"], {
      env: { ...env, K3S_ARGV0: "/usr/local/bin/kubectl" },
    });
    assert.equal(code, 7);
    assert.deepEqual(stdout.match(/(?<=^arg=).*/gm), ["server", "--version"]);
    assert.match(stdout, /ARGV0=$/m);
  });

  test("say so when the components do not have them", async (t) => {
    const { env } = await components(t);
    const { code, stderr } = await run(t, ["crictl", "ps"], { env });
    assert.equal(code, 1);
    assert.match(stderr, /^Error: Cannot run crictl: the components in ".+" do not have it$/m);
    assert.match(stderr, /^Code: {2}ERR_TOOL_ABSENT$/m);
  });

  test("say so when the file cannot be executed", async (t) => {
    const { env, folder } = await components(t);
    await chmod(join(folder, "bin/kubectl"), 0o644);
    const { code, stderr } = await run(t, ["kubectl"], { env });
    assert.equal(code, 1);
    assert.match(stderr, /^Code: {2}ERR_TOOL_NOT_EXECUTABLE$/m);
  });

  test("crictl runs where the set has it", async (t) => {
    const { env, folder } = await components(t, ["crictl"]);
    const dataDir = join(folder, "state");
    await mkdir(join(dataDir, "agent/etc"), { recursive: true });
    await writeFile(join(dataDir, "agent/etc/crictl.yaml"), "");
    const { code, stdout } = await run(t, ["crictl", "ps"], { env: { ...env, K3S_DATA_DIR: dataDir } });
    assert.equal(code, 7);
    assert.ok(stdout.includes(`CRI=${dataDir}/agent/etc/crictl.yaml `));
  });

  test("kubectl tells a user who may not read the kubeconfig what to do", async (t) => {
    const { env, folder } = await components(t);
    await chmod(folder, 0o755);
    await mkdir(join(folder, ".kube"));
    await writeFile(join(folder, ".kube/k3s.yaml"), "", { mode: 0o600 });
    const wrapper = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    const { stdout, stderr } = await run(t, ["kubectl"], { env: { ...env, HOME: folder }, wrapper });
    assert.match(stderr, /^Unable to read .+\.yaml, .*--write-kubeconfig-mode or --write-kubeconfig-group/);
    assert.match(stdout, /KUBECONFIG=.+\.yaml /);
  });
});

describe("toolSet()", () => {
  /** The data folder into which the programs would be unpacked; `system` where none is configured. */
  async function chosenFolder(t: TestContext, file: string, refusal: object = /no place/): Promise<string> {
    const { folder } = await components(t);
    const systemDataDir = join(folder, "system");
    let chosen = "";
    const source: ComponentSource = {
      ...folderSource(folder),
      folder: undefined,
      install: ({ to }) => {
        const dataDir = to.slice(0, to.indexOf("/data/"));
        chosen = dataDir === systemDataDir ? "system" : dataDir;
        return Promise.reject(new Error("no place"));
      },
    };
    const unused = {
      readManifest: fail,
      licenses: fail,
      written: fail,
      discard: fail,
      write: fail,
      writeError: () => undefined,
    };
    const surroundings = { args: [], executable: "", isTerminal: false, ...unused };
    const context = { ...surroundings, components: source, env: { K3S_CONFIG_FILE: file } };
    await assert.rejects(toolSet(context, { globals: [], program: "kubectl", systemDataDir }), refusal);
    return chosen;
  }

  test("finds the data folder in the config file and the drop-ins after it, the last of them first", async (t) => {
    const folder = await temporaryFolder(t);
    const file = join(folder, "config.yaml");
    await mkdir(`${file}.d`);
    await writeFile(join(`${file}.d`, "a.yaml"), `data-dir: "${folder}/a" # ours\n`);
    assert.equal(await chosenFolder(t, file), `${folder}/a`);
    await writeFile(join(`${file}.d`, "b.YML"), `d: ${folder}/b\n`);
    await writeFile(join(`${file}.d`, "c.txt"), `data-dir: ${folder}/c\n`);
    assert.equal(await chosenFolder(t, file), `${folder}/b`);
    await rm(`${file}.d`, { recursive: true });
    await writeFile(file, `debug: true\ndata-dir: ${folder}/main\n`);
    assert.equal(await chosenFolder(t, file), `${folder}/main`);
  });

  test("refuse a config file that was named and is not there, as a server does", async (t) => {
    const file = join(await temporaryFolder(t), "config.yaml");
    assert.equal(await chosenFolder(t, file, { code: "ERR_CONFIG_FILE_ABSENT" }), "");
    assert.equal(await chosenFolder(t, ""), "system");
    assert.equal(await chosenFolder(t, "http://127.0.0.1:1/config.yaml"), "system");
  });
});

function fail(): never {
  throw new Error("not expected");
}

describe("toolPresets()", () => {
  test("kubectl: the system's kubeconfig before that of the home folder, nothing when there is neither", async (t) => {
    const home = await temporaryFolder(t);
    const systemKubeconfig = join(home, "system.yaml");
    const call = { args: [], env: { HOME: home }, systemKubeconfig };
    assert.deepEqual(await toolPresets("kubectl", call), { env: {} });
    await mkdir(join(home, ".kube"));
    await writeFile(join(home, ".kube/k3s.yaml"), "");
    assert.deepEqual(await toolPresets("kubectl", call), { env: { KUBECONFIG: join(home, ".kube/k3s.yaml") } });
    await writeFile(systemKubeconfig, "");
    assert.deepEqual(await toolPresets("kubectl", call), { env: { KUBECONFIG: systemKubeconfig } });
  });

  test("leaves alone what the caller has set", async (t) => {
    const systemKubeconfig = join(await temporaryFolder(t), "k3s.yaml");
    await writeFile(systemKubeconfig, "");
    const none = { env: {} };
    assert.deepEqual(await toolPresets("kubectl", { args: [], env: { KUBECONFIG: "/x" }, systemKubeconfig }), none);
    assert.deepEqual(await toolPresets("kubectl", { args: ["--kubeconfig=/x"], env: {}, systemKubeconfig }), none);
    assert.deepEqual(
      await toolPresets("kubectl", { args: ["get", "--kubeconfig", "/x"], env: {}, systemKubeconfig }),
      none,
    );
    const env = { CONTAINERD_ADDRESS: "/a", CONTAINERD_NAMESPACE: "b" };
    assert.deepEqual(await toolPresets("ctr", { args: [], env }), none);
    assert.deepEqual(await toolPresets("crictl", { args: [], env: { CRI_CONFIG_FILE: "/c" } }), none);
  });
});
