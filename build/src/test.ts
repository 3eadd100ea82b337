import { spawn } from "node:child_process";
import { once } from "node:events";
import { glob, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { provideStorageTests } from "@k3s/components";
import { NodeError } from "@k3s/errors";
import { cacheDirectory } from "./component-options.ts";
import { runMain, type BuildHost } from "./run-main.ts";
import { failedTests, summarizeTap, type Counts, type FailedTest } from "./tap-summary.ts";
import { provideHostRoot } from "./test-host-root.ts";
import { provideTestPrograms } from "./test-programs.ts";
import { SUITES, type Suite } from "./test-suites.ts";

const ROOT = join(import.meta.dirname, "../..");
/** What is shown again of an error: enough for a finding of the consistency checker, or for the last words of a program. */
const ERROR_CHARS_MAX = 3000;
const NAMES = SUITES.map((suite) => suite.name);

/** Runs the named suites, or all, and ends with one line of counts. */
async function main({ argv, environment, progress, signal }: BuildHost): Promise<number> {
  const unknown = argv.find((name) => !NAMES.includes(name));
  if (unknown !== undefined)
    throw new NodeError("ERR_BUILD_SUITE", `Cannot run suite "${unknown}": it is not known`, {
      hint: `Name none for all of them, or some of ${NAMES.join(", ")}`,
    });
  const suites = SUITES.filter(({ name }) => argv.length === 0 || argv.includes(name));
  const context = { cacheDir: cacheDirectory(environment), environment, progress, signal };
  const folders = [join(ROOT, "dist/lib/components/bin"), await provideTestPrograms(context)];
  if (suites.some(({ name }) => name === "system")) folders.push(await provideStorageTests(context));
  const programs = {
    K3S_TEST_BIN_DIR: folders.join(delimiter),
    ...(suites.some(({ name }) => name === "e2e") ? { K3S_TEST_HOST_ROOT: await provideHostRoot(context) } : {}),
    ...environment,
  };
  const host = { environment: { ...programs, PATH: pathOf(environment) }, signal };
  const results: Result[] = [];
  for (const suite of suites) {
    process.stdout.write(`\n=== ${suite.name}\n`);
    const startedAt = performance.now();
    const outcome = suite.kind === "script" ? await runScript(suite, host) : await runTests(suite, host);
    results.push({ name: suite.name, ...outcome, seconds: (performance.now() - startedAt) / 1000 });
  }
  process.stdout.write("\n");
  // Far above, each with all that is known of it; here for those who see only the end.
  for (const { name, failed } of results)
    for (const test of failed) process.stdout.write(`${name}: ✖ ${test.name}: ${formatError(test.error)}\n`);
  for (const { name, counts, seconds } of results) process.stdout.write(`${formatResult(name, counts, seconds)}\n`);
  const sum = (key: keyof Counts) => results.reduce((total, { counts }) => total + counts[key], 0);
  process.stdout.write(`${sum("passed")} passed, ${sum("failed")} failed\n`);
  return sum("failed") === 0 ? 0 : 1;
}

/** Further lines are indented: the next failure is easily found. */
function formatError(error: string): string {
  return error.slice(0, ERROR_CHARS_MAX).replaceAll("\n", "\n    ");
}

interface Outcome {
  readonly counts: Counts;
  readonly failed: readonly FailedTest[];
}

interface Result extends Outcome {
  readonly name: string;
  readonly seconds: number;
}

function formatResult(name: string, { passed, failed, skipped }: Counts, seconds: number): string {
  const extra = skipped === 0 ? "" : `, ${skipped} skipped`;
  return `${name.padEnd(12)} ${passed} passed, ${failed} failed${extra} (${seconds.toFixed(0)} s)`;
}

/** The project's own programs first, the pinned Node among them. */
function pathOf(environment: BuildHost["environment"]): string {
  return `${join(ROOT, "node_modules/.bin")}:${environment["PATH"] ?? "/usr/bin:/bin"}`;
}

type SuiteHost = Pick<BuildHost, "environment" | "signal">;

async function runScript(suite: Suite & { readonly kind: "script" }, host: SuiteHost): Promise<Outcome> {
  const { scripts } = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8")) as PackageFile;
  const script = scripts[suite.script];
  if (script === undefined) throw new Error(`No script "${suite.script}" in package.json`);
  const isGood = (await exitCodeOf(["sh", "-c", script], host)) === 0;
  return { counts: { passed: isGood ? 1 : 0, failed: isGood ? 0 : 1, skipped: 0 }, failed: [] };
}

interface PackageFile {
  readonly scripts: Readonly<Record<string, string>>;
}

async function runTests(suite: Suite & { readonly kind: "tests" }, host: SuiteHost): Promise<Outcome> {
  const files = await Array.fromAsync(glob(suite.files, { cwd: ROOT, exclude: ["**/node_modules/**"] }));
  if (files.length === 0) return { counts: { passed: 0, failed: 0, skipped: 0 }, failed: [] };
  const folder = await mkdtemp(join(tmpdir(), "k3s-test-report-"));
  try {
    const report = join(folder, "report.tap");
    const argv = [
      ...[process.execPath, "--test", `--test-timeout=${suite.timeoutMs}`],
      ...(suite.concurrency === undefined ? [] : [`--test-concurrency=${suite.concurrency}`]),
      ...["--test-reporter=spec", "--test-reporter-destination=stdout"],
      ...["--test-reporter=tap", `--test-reporter-destination=${report}`],
      ...files.sort(),
    ] as const;
    const code = await exitCodeOf([argv[0] ?? "node", ...argv.slice(1)], host);
    const text = await readFile(report, "utf8").catch(() => "");
    return { counts: summarizeTap(text, code), failed: failedTests(text) };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** Output goes where ours goes. A signal counts as code 1; our own abort rejects. */
async function exitCodeOf(
  [command, ...args]: readonly [string, ...string[]],
  { environment, signal }: SuiteHost,
): Promise<number> {
  signal.throwIfAborted();
  const child = spawn(command, args, { cwd: ROOT, env: { ...environment }, stdio: ["ignore", "inherit", "inherit"] });
  const onAbort = () => child.kill("SIGTERM");
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    const [code] = (await once(child, "close")) as [number | null];
    signal.throwIfAborted();
    return code ?? 1;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}

await runMain(main);
