import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { promisify } from "node:util";
import { failedTests, summarizeTap } from "../src/tap-summary.ts";

const run = promisify(execFile);

const FILE = `
import { describe, test } from "node:test";
describe("a", () => {
  test("passes", () => {});
  test("fails", () => { throw new Error("# pass 99"); });
  test("fails at length", () => { throw new Error("first\\n  second\\n\\nthird\\n"); });
});
test("skips", { skip: true }, () => {});
test("hangs", { timeout: 10 }, () => new Promise(() => setInterval(() => {}, 1000)));
`;

const LATE_FILE = `
import { test } from "node:test";
test("ends too early", () => void setTimeout(() => { throw new Error("too late"); }, 10));
test("is still there", () => new Promise((resolve) => setTimeout(resolve, 100)));
`;

/** What the test runner reports of a file with this text. */
async function reportOf(t: TestContext, source: string): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "k3s-tap-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  await writeFile(join(folder, "some.test.mjs"), source);
  const report = join(folder, "report.tap");
  const args = ["--test", "--test-force-exit", "--test-reporter=tap", `--test-reporter-destination=${report}`];
  // The variable would make the inner runner report to the outer one.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const failure = await run(process.execPath, [...args, join(folder, "some.test.mjs")], { env }).catch(
    (error: unknown) => error as { code: number },
  );
  assert.equal("code" in failure ? failure.code : 0, 1);
  return await readFile(report, "utf8");
}

describe("summarizeTap()", () => {
  test("counts what the test runner reports, a cancelled test as a failed one", async (t) => {
    const text = await reportOf(t, FILE);
    assert.deepEqual(summarizeTap(text, 1), { passed: 1, failed: 3, skipped: 1 });
    assert.deepEqual(failedTests(text), [
      { name: "fails", error: "# pass 99" },
      { name: "fails at length", error: "first\n  second\n\nthird" },
      { name: "hangs", error: "test timed out after 10ms" },
    ]);
  });

  test("says which test left an error behind", async (t) => {
    const text = await reportOf(t, LATE_FILE);
    assert.equal(summarizeTap(text, 1).failed, 1);
    const [failed] = failedTests(text);
    assert.match(failed?.name ?? "", /some\.test\.mjs$/);
    assert.match(failed?.error ?? "", /^Test "ends too early" at .* generated asynchronous activity .*too late/);
  });

  test("counts a runner that died without a report as one failure", () => {
    assert.deepEqual(summarizeTap("TAP version 13\nok 1 - a\n", 134), { passed: 0, failed: 1, skipped: 0 });
  });

  test("counts a bad exit code without a failed test as one failure", () => {
    const report = "# tests 2\n# pass 2\n# fail 0\n# cancelled 0\n# skipped 0\n# todo 0\n";
    assert.deepEqual(summarizeTap(report, 1), { passed: 2, failed: 1, skipped: 0 });
    assert.deepEqual(summarizeTap(report, 0), { passed: 2, failed: 0, skipped: 0 });
  });
});
