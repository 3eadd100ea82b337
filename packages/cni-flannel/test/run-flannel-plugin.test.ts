import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";

const PLUGIN = join(import.meta.dirname, "fixtures/flannel.ts");
const SUBNET = "FLANNEL_NETWORK=10.42.0.0/16\nFLANNEL_SUBNET=10.42.3.1/24\nFLANNEL_MTU=1450\nFLANNEL_IPMASQ=true\n";
/** In place of the plugin that makes interfaces: keeps what it gets, answers, and fails when it is told to. */
const DELEGATE = `#!/bin/sh
cat > "$SEEN/$CNI_COMMAND"
echo '{"answer":"of the delegate"}'
exit "$EXIT_CODE"
`;

async function place(t: TestContext) {
  const folder = await mkdtemp(join(tmpdir(), "cni-flannel-"));
  t.after(() => rm(folder, { recursive: true }));
  await writeFile(join(folder, "bridge"), DELEGATE, { mode: 0o755 });
  await writeFile(join(folder, "subnet.env"), SUBNET);
  const dataDir = join(folder, "data");
  const config = {
    name: "cbr0",
    cniVersion: "1.0.0",
    type: "flannel",
    subnetFile: join(folder, "subnet.env"),
    dataDir,
    delegate: { hairpinMode: true, forceAddress: true, isDefaultGateway: true },
  };
  const call = (command: string, { env = {}, ...changes }: CallChanges = {}) => {
    const variables = {
      CNI_COMMAND: command,
      CNI_CONTAINERID: "c0ffee",
      CNI_PATH: `/nonexistent:${folder}`,
      SEEN: folder,
    };
    const { status, stdout } = spawnSync(process.execPath, ["--no-warnings", PLUGIN], {
      input: changes.input ?? JSON.stringify({ ...config, ...changes.config }),
      env: { ...process.env, ...variables, EXIT_CODE: "0", ...env },
      encoding: "utf8",
    });
    return { status, answer: JSON.parse(stdout === "" ? "null" : stdout) as unknown };
  };
  const seen = async (command: string) => JSON.parse(await readFile(join(folder, command), "utf8")) as unknown;
  return { folder, dataDir, call, seen };
}

interface CallChanges {
  readonly input?: string;
  readonly config?: object;
  readonly env?: Readonly<Record<string, string>>;
}

const HANDED_ON = {
  ...{ name: "cbr0", cniVersion: "1.0.0", type: "bridge", mtu: 1450, ipMasq: false, isGateway: true },
  ...{ hairpinMode: true, forceAddress: true, isDefaultGateway: true },
  ipam: { type: "host-local", ranges: [[{ subnet: "10.42.3.0/24" }]], routes: [{ dst: "10.42.0.0/16" }] },
};

describe("runFlannelPlugin()", () => {
  test("ADD hands flannel's settings to the bridge, and its answer back", async (t) => {
    const { call, seen, dataDir } = await place(t);
    assert.deepEqual(call("ADD"), { status: 0, answer: { answer: "of the delegate" } });
    assert.deepEqual(await seen("ADD"), HANDED_ON);
    assert.equal((await stat(join(dataDir, "c0ffee"))).mode & 0o777, 0o600);
  });

  test("ADD fails with the delegate", async (t) => {
    const { call } = await place(t);
    assert.equal(call("ADD", { env: { EXIT_CODE: "3" } }).status, 3);
  });

  test("ADD hands on what the runtime says of the pod", async (t) => {
    const { call, seen } = await place(t);
    call("ADD", { config: { runtimeConfig: { bandwidth: { ingressRate: 1 } } } });
    assert.deepEqual(await seen("ADD"), { ...HANDED_ON, runtimeConfig: { bandwidth: { ingressRate: 1 } } });
  });

  test("ADD before the node has its range asks to be tried later, and leaves nothing behind", async (t) => {
    const { call, folder, dataDir } = await place(t);
    const { status, answer } = call("ADD", { config: { subnetFile: join(folder, "absent.env") } });
    assert.equal(status, 1);
    assert.deepEqual(answer, {
      cniVersion: "1.0.0",
      code: 11,
      msg: `Cannot read "${join(folder, "absent.env")}": it does not exist`,
      details: "The node has no range of pod addresses yet: look whether k3s runs and reaches the cluster",
    });
    await assert.rejects(readdir(dataDir), { code: "ENOENT" });
  });

  test("DEL undoes with the settings of the ADD, whatever they are now", async (t) => {
    const { call, seen, folder, dataDir } = await place(t);
    call("ADD");
    await rm(join(folder, "subnet.env"));
    assert.equal(call("DEL", { config: { delegate: { isDefaultGateway: false } } }).status, 0);
    assert.deepEqual(await seen("DEL"), HANDED_ON);
    assert.deepEqual(await readdir(dataDir), []);
  });

  test("DEL can be tried again after a failure", async (t) => {
    const { call, dataDir } = await place(t);
    call("ADD");
    assert.equal(call("DEL", { env: { EXIT_CODE: "1" } }).status, 1);
    assert.deepEqual(await readdir(dataDir), ["c0ffee"]);
    assert.equal(call("DEL").status, 0);
  });

  test("DEL of a container that was never added is well", async (t) => {
    const { call, folder } = await place(t);
    assert.deepEqual(call("DEL"), { status: 0, answer: null });
    assert.equal((await readdir(folder)).includes("DEL"), false);
  });

  test("CHECK is well, VERSION tells the versions", async (t) => {
    const { call } = await place(t);
    assert.deepEqual(call("CHECK"), { status: 0, answer: null });
    const supportedVersions = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0"];
    assert.deepEqual(call("VERSION", { input: "" }), { status: 0, answer: { cniVersion: "1.0.0", supportedVersions } });
  });

  const mistakes = [
    ["a configuration that is no JSON", { input: "{" }, 6],
    ["a delegate that is not an object", { config: { delegate: 1 } }, 7],
    ["a delegate with a name", { config: { delegate: { name: "x" } } }, 7],
    ["a delegate with ipam", { config: { delegate: { ipam: {} } } }, 7],
    ["a delegate whose type is no text", { config: { delegate: { type: 1 } } }, 7],
    ["a delegate that is not there", { config: { delegate: { type: "ipvlan" } } }, 7],
    ["a delegate that is a path", { config: { delegate: { type: "../bridge" } } }, 7],
    ["a container that leads out of the folder", { env: { CNI_CONTAINERID: "../x" } }, 4],
  ] as const;
  for (const [what, changes, code] of mistakes) {
    test(`ADD refuses ${what}`, async (t) => {
      const { call } = await place(t);
      const { status, answer } = call("ADD", changes);
      assert.deepEqual([status, (answer as { readonly code: number }).code], [1, code]);
    });
  }

  test("refuses a command that it does not know", async (t) => {
    const { call } = await place(t);
    assert.equal((call("STATUS").answer as { readonly code: number }).code, 4);
  });
});
