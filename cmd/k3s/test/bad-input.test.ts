import assert from "node:assert/strict";
import { appendFile, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { run, temporaryFolder, type Ended } from "./cli-process.ts";
import { writeComponentFolder } from "./component-folder.ts";
import { folderContent } from "./folder-content.ts";
import { writeUsedDataDir } from "./used-data-dir.ts";

/** Loopback that is down, no other address, and nothing of the machine's own k3s. */
const WRAPPER = ["unshare", "--net", "--mount", "sh", "-ec", 'mount -t tmpfs tmpfs /run; exec "$@"', "sh"];
/** In place of every program of the components: none of these starts comes so far. */
const PROGRAM = "#!/bin/sh\nexit 1\n";
const OWN_ARCHITECTURE = process.arch === "x64" ? "amd64" : process.arch;
const CLOCK = new URL("fixtures/wrong-clock.ts", import.meta.url).href;

interface Machine {
  readonly components: string;
  readonly dataDir: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
}

async function machine(t: TestContext): Promise<Machine> {
  const folder = await temporaryFolder(t);
  const [components, dataDir] = [join(folder, "components"), join(folder, "data")];
  await writeComponentFolder(components, PROGRAM);
  const args = ["server", "--disable-agent", "--data-dir", dataDir, "--node-ip", "192.0.2.9"];
  return {
    ...{ components, dataDir },
    args: [...args, "--write-kubeconfig", join(folder, "k3s.yaml")],
    env: { K3S_COMPONENTS_DIR: components },
  };
}

async function changeManifest({ components }: Machine, change: (text: string) => string): Promise<void> {
  const path = join(components, "components.json");
  await writeFile(path, change(await readFile(path, "utf8")));
}

interface BadInput {
  readonly what: string;
  readonly prepare: (machine: Machine) => Promise<void>;
  readonly args?: readonly string[];
  readonly clock?: string;
  readonly code: string;
  readonly message: RegExp;
}

const cases: readonly BadInput[] = [
  {
    what: "a component with a wrong checksum",
    prepare: ({ components }) => appendFile(join(components, "bin/kubelet"), "# changed\n"),
    code: "ERR_COMPONENT_CHECKSUM",
    message: /bin\/kubelet.+ its checksum is not the recorded one, kept as .+kubelet\.bad-/,
  },
  {
    what: "components of another architecture",
    prepare: (it) => changeManifest(it, (text) => text.replace(/"(amd64|arm64)"/, '"riscv64"')),
    code: "ERR_COMPONENT_ARCHITECTURE",
    message: /it is of architecture riscv64, this machine is (amd64|arm64)/,
  },
  {
    what: "a data dir of another architecture",
    prepare: (it) => writeVersion(it, { architecture: "riscv64", kubernetes: "1.20.2" }),
    code: "ERR_COMPONENT_ARCHITECTURE",
    message: /it is of architecture riscv64, this machine is (amd64|arm64)/,
  },
  {
    what: "a data dir written by a newer version",
    prepare: async (it) => {
      await writeUsedDataDir(it.dataDir, it.components, "first");
      await writeVersion(it, { architecture: OWN_ARCHITECTURE, kubernetes: "1.21.0" });
    },
    code: "ERR_DATA_DIR_NEWER",
    message: /written by Kubernetes 1\.21\.0, this is 1\.20\.2/,
  },
  {
    what: "a clock before the certificates",
    prepare: ({ dataDir, components }) => writeUsedDataDir(dataDir, components, "first"),
    clock: "2001-02-03T04:05:06Z",
    code: "ERR_PKI_CLOCK_BEHIND",
    message: /the clock says 2001-02-03T04:05:\S+, the CA is valid from 20/,
  },
  {
    what: "a clock that was never set",
    prepare: ({ dataDir, components }) => writeUsedDataDir(dataDir, components, "first"),
    clock: "1970-01-01T00:01:02Z",
    code: "ERR_CLOCK",
    message: /Cannot start k3s server: the clock says 1970-01-01T00:01:/,
  },
  {
    what: "a token that does not match the stored bootstrap data",
    prepare: ({ dataDir, components }) => writeUsedDataDir(dataDir, components, "first"),
    args: ["--token", "second"],
    code: "ERR_BOOTSTRAP_TOKEN_MISMATCH",
    message: /bootstrap data already found and encrypted with different token/,
  },
];

async function writeVersion({ dataDir }: Machine, version: object): Promise<void> {
  await mkdir(join(dataDir, "data"), { recursive: true });
  await writeFile(join(dataDir, "data/.version"), JSON.stringify(version));
}

describe("k3s server refuses with one message, its code and a cure, and leaves the data dir as it was", () => {
  for (const { what, prepare, args = [], clock, code, message } of cases) {
    test(what, async (t) => {
      const it = await machine(t);
      await prepare(it);
      const before = await folderContent(it.dataDir);
      const wrong = clock === undefined ? {} : { NODE_OPTIONS: `--import=${CLOCK}`, K3S_TEST_CLOCK: clock };
      const ended = await run(t, [...it.args, ...args], { env: { ...it.env, ...wrong }, wrapper: WRAPPER });
      assertRefused(ended, code, message);
      assert.deepEqual(await folderContent(it.dataDir), before);
    });
  }
});

function assertRefused({ code: exitCode, stderr }: Ended, code: string, message: RegExp): void {
  assert.equal(exitCode, 1, stderr);
  const errors = stderr.split("\n").filter((line) => line.includes(" ERROR "));
  assert.equal(errors.length, 1, stderr);
  assert.match(errors[0] ?? "", message);
  assert.match(errors[0] ?? "", new RegExp(`code=${code} hint=".{20,}"`));
}
