import { execa } from "execa";
import { findProgram } from "@k3s/testkit";

/** Kubernetes' own tests of its storage, compiled by the project's test command. */
const PROGRAM = "storage-etcd3-tests";
const LIMIT_SECONDS = 60;

/** Names of all tests, in the order of their authors. */
export async function listStorageTests(): Promise<readonly string[]> {
  const { stdout } = await execa(await findProgram(PROGRAM), ["-test.list", ".*"]);
  return stdout.split("\n").filter((line) => /^Test/.test(line));
}

/** Runs one test against the etcd API at `url`, whose store is empty. Rejects with what the test printed when it fails. */
export async function runStorageTest(name: string, url: string, cwd: string): Promise<void> {
  const args = ["-test.run", `^${name}$`, "-test.v", `-test.timeout=${LIMIT_SECONDS}s`];
  const { exitCode, all } = await execa(await findProgram(PROGRAM), args, {
    cwd,
    env: { ETCD_TEST_ENDPOINT: url },
    all: true,
    reject: false,
  });
  const isPassed = exitCode === 0 && new RegExp(`^--- PASS: ${name} `, "m").test(all);
  if (!isPassed) throw new Error(`${name} fails\n${all}`);
}
