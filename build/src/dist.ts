import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { chmod, copyFile, cp, mkdir, readFile, rename, rm, stat } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { parseArgs, promisify } from "node:util";
import { provideComponents, waitForLock, type Progress } from "@k3s/components";
import { NodeError } from "@k3s/errors";
import { readIfExists, writeFileAtomic } from "@k3s/files";
import { bundleProduct } from "./bundle.ts";
import { cacheDirectory, COMPONENT_OPTIONS, readComponentOptions } from "./component-options.ts";
import { runMain, type BuildHost } from "./run-main.ts";

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, "../..");
const DIST = join(ROOT, "dist");
const LIB = join(DIST, "lib");
/** Suffix of the version, counted per version of Kubernetes as the original does. */
const RELEASE = "k3s1";

const LOCK_WAIT_MS = 60 * 60_000;

const HELP = `Builds dist/k3s and what it needs beside it, the upstream programs included.

  node build/src/dist.ts [--source auto|upstream|debian|dir] [--dir DIR] [--mirror URL] [--kubernetes V]

See node build/src/components.ts --help for these options.
`;

async function main({ argv, environment, progress, signal }: BuildHost): Promise<number> {
  const options = { ...COMPONENT_OPTIONS, help: { type: "boolean" } } as const;
  const { values } = parseArgs({ args: [...argv], options, strict: true });
  if (values.help === true) {
    process.stdout.write(HELP);
    return 0;
  }
  const wanted = readComponentOptions(values, environment);
  await mkdir(LIB, { recursive: true });
  await using _lock = await waitForLock(join(DIST, ".lock"), {
    limitMs: LOCK_WAIT_MS,
    onWait: (owner) => progress({ step: "Wait for another build", note: `process ${owner} builds here` }),
    signal,
  });
  await buildProgram(progress);
  const context = { cacheDir: cacheDirectory(environment), environment, progress, signal };
  const { versions } = await provideComponents({ ...wanted, out: join(LIB, "components") }, context);
  const { kubernetes, containerd } = versions;
  progress({ step: "Build", note: `dist/k3s with Kubernetes ${kubernetes.text}, containerd ${containerd.text}` });
  return 0;
}

async function buildProgram(progress: Progress): Promise<void> {
  const step = "Bundle k3s";
  progress({ step });
  await Promise.all([
    bundleProduct({ root: ROOT, lib: LIB, release: RELEASE, commit: await findCommit() }),
    copyNode(),
    compileLauncher(),
    copyNativeParts(),
    copyManifests(),
  ]);
  progress({ step, finished: true });
}

async function findCommit(): Promise<string> {
  return run("git", ["-C", ROOT, "rev-parse", "--short=8", "HEAD"]).then(
    ({ stdout }) => stdout.trim(),
    () => "HEAD", // no git, or not a clone
  );
}

/** The pinned Node without its symbols, which are a sixth of it. */
async function copyNode(): Promise<void> {
  const source = join(packageFolder(ROOT, `node-linux-${process.arch}`), "bin/node");
  const { size, mtimeMs } = await stat(source);
  await unlessMade(join(LIB, "node"), `${source} ${size} ${mtimeMs}`, async (temporary) => {
    await copyFile(source, temporary);
    await run("strip", ["-s", temporary]).catch(() => undefined); // only larger without it
    await chmod(temporary, 0o755);
  });
}

async function compileLauncher(): Promise<void> {
  const source = join(import.meta.dirname, "launcher.c");
  await unlessMade(join(DIST, "k3s"), await readFile(source), async (temporary) => {
    const flags = ["-std=gnu17", "-static", "-Os", "-s", "-Wall", "-Wextra", "-Werror"];
    try {
      await run("gcc", [...flags, "-o", temporary, source]);
    } catch (cause) {
      throw new NodeError("ERR_BUILD_COMPILE", "Cannot compile the launcher: gcc failed", {
        hint: "Install gcc and libc6-dev, or start with: sh build/bootstrap.sh",
        cause,
      });
    }
  });
}

async function copyNativeParts(): Promise<void> {
  const native = join(ROOT, "packages/native/out");
  const sqlite = packageFolder(join(ROOT, "packages/datastore-sqlite"), "better-sqlite3");
  const files = [
    { from: join(native, "k3s-native.node"), name: "k3s-native.node", mode: 0o644 },
    { from: join(native, "k3s-launch"), name: "k3s-launch", mode: 0o755 },
    { from: join(sqlite, `prebuilds/linux-${process.arch}.node`), name: "better_sqlite3.node", mode: 0o644 },
  ];
  for (const { from, name, mode } of files) {
    const data = await readFile(from).catch((cause: unknown) => {
      const hint = "Start with: sh build/bootstrap.sh, or run: node packages/native/build.ts";
      throw new NodeError("ERR_BUILD_COMPILE", `Cannot find native part "${name}": not built`, { hint, cause });
    });
    await writeFileAtomic(join(LIB, name), data, { mode });
  }
}

async function copyManifests(): Promise<void> {
  const temporary = join(LIB, "manifests.tmp");
  await rm(temporary, { recursive: true, force: true });
  await cp(join(ROOT, "manifests"), temporary, { recursive: true });
  await rm(join(LIB, "manifests"), { recursive: true, force: true });
  await rename(temporary, join(LIB, "manifests"));
}

function packageFolder(from: string, name: string): string {
  return join(createRequire(join(from, "package.json")).resolve(`${name}/package.json`), "..");
}

/** Makes `path` by way of a temporary file, unless it was made from the same input before. */
async function unlessMade(
  path: string,
  input: string | Buffer,
  make: (temporary: string) => Promise<void>,
): Promise<void> {
  const stamp = join(LIB, `.${path.slice(DIST.length + 1).replaceAll("/", "-")}.made-from`);
  const digest = createHash("sha256").update(input).digest("hex");
  const isThere = await stat(path).then(
    () => true,
    () => false,
  );
  if (isThere && (await readIfExists(stamp))?.toString() === digest) return;
  const temporary = `${path}.tmp-${process.pid}`;
  await make(temporary);
  await rename(temporary, path);
  await writeFileAtomic(stamp, digest, { mode: 0o644 });
}

await runMain(main);
