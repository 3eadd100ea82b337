// Builds the native part: node packages/native/build.ts [--out FOLDER] [-- COMPILER ARGUMENTS…]
// Default: into out/ beside this file, with the machine's C compiler.
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { chmod, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { parseArgs, promisify } from "node:util";

interface Target {
  readonly source: string;
  readonly output: string;
  readonly flags: readonly string[];
}

const ROOT = join(import.meta.dirname, "../..");
const SOURCES = join(import.meta.dirname, "csrc");
const { values, positionals } = parseArgs({ options: { out: { type: "string" } }, allowPositionals: true });
const OUTPUT = values.out ?? join(import.meta.dirname, "out");
const STAMP = join(OUTPUT, "built-from");
const [COMPILER = "gcc", ...COMPILER_FLAGS] = positionals;
const COMMON_FLAGS = ["-std=gnu17", "-O2", "-Wall", "-Wextra", "-Werror", "-fstack-protector-strong", "-s"];

await build();

async function build(): Promise<void> {
  const targets = listTargets();
  const fingerprint = await hashInputs(targets);
  if (await isUpToDate(targets, fingerprint)) return;
  await mkdir(OUTPUT, { recursive: true });
  await Promise.all(targets.map(compile));
  await writeFile(STAMP, fingerprint);
  process.stdout.write(`Built ${targets.map((target) => target.output).join(", ")}\n`);
}

function listTargets(): readonly Target[] {
  return [
    {
      source: join(SOURCES, "k3s-native.c"),
      output: join(OUTPUT, "k3s-native.node"),
      flags: ["-shared", "-fPIC", `-I${headersFolder()}`],
    },
    { source: join(SOURCES, "k3s-launch.c"), output: join(OUTPUT, "k3s-launch"), flags: ["-static"] },
  ];
}

/** The headers that ship with the pinned Node, so that nothing is downloaded and they always fit. */
function headersFolder(): string {
  const require = createRequire(join(ROOT, "package.json"));
  return join(dirname(require.resolve(`node-linux-${process.arch}/package.json`)), "include/node");
}

async function hashInputs(targets: readonly Target[]): Promise<string> {
  const hash = createHash("sha256").update(await readFile(import.meta.filename));
  hash.update(positionals.join("\0"));
  for (const { source, flags } of targets) hash.update(flags.join("\0")).update(await readFile(source));
  return hash.digest("hex");
}

async function isUpToDate(targets: readonly Target[], fingerprint: string): Promise<boolean> {
  if (!existsSync(STAMP) || !targets.every((target) => existsSync(target.output))) return false;
  return (await readFile(STAMP, "utf8")) === fingerprint;
}

/** Replaces the output as a whole: a process that runs the old one keeps it. */
async function compile({ source, output, flags }: Target): Promise<void> {
  const temporary = `${output}.tmp-${process.pid}`;
  try {
    await promisify(execFile)(COMPILER, [...COMPILER_FLAGS, ...COMMON_FLAGS, ...flags, "-o", temporary, source]);
    await chmod(temporary, 0o755);
    await rename(temporary, output);
  } catch (error) {
    await rm(temporary, { force: true });
    const missing = error instanceof Error && "code" in error && error.code === "ENOENT";
    const hint = missing ? `: "${COMPILER}" is not installed (Debian: apt-get install gcc libc6-dev)` : "";
    throw new Error(`Cannot compile "${source}"${hint}`, { cause: error });
  }
}
