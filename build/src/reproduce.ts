import { spawn } from "node:child_process";
import { once } from "node:events";
import { cp, mkdir, mkdtemp, readFile, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { NodeError } from "@k3s/errors";
import { fileDigest } from "./bill-of-materials.ts";
import { cacheDirectory } from "./component-options.ts";
import { runMain, type BuildHost } from "./run-main.ts";

const ROOT = join(import.meta.dirname, "../..");
/** What a build makes, and what only a clone has. */
const NOT_SOURCE = /(^|\/)(node_modules|dist|\.git|\.cache)$|^packages\/native\/out$|\.tsbuildinfo$/;
/** Upstream programs are taken as they are in the cache: what compresses and packs them is done anew. */
const SHARED = ["debian", "kubernetes", "sets", "upstream", "work"];

/** Builds the sources twice from nothing, in folders of different names, and compares the two executables. */
async function main({ environment, progress, signal }: BuildHost): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), "k3s-reproduce-"));
  try {
    const digests: string[] = [];
    for (const name of ["one", "another-folder"]) {
      const step = `Build in ${name}`;
      progress({ step });
      digests.push(await buildIn(join(folder, name), { environment, signal }));
      progress({ step, note: digests.at(-1) ?? "", finished: true });
    }
    if (new Set(digests).size === 1) return 0;
    throw new NodeError("ERR_BUILD_NOT_REPRODUCIBLE", `Cannot build the same bytes twice: ${digests.join(", ")}`, {
      hint: "Compare dist/k3s of two folders with diffoscope; paths, times and random numbers are the usual causes",
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function buildIn(folder: string, host: Pick<BuildHost, "environment" | "signal">): Promise<string> {
  const cache = `${folder}-cache`;
  await cp(ROOT, folder, { recursive: true, filter: (path) => !NOT_SOURCE.test(relative(ROOT, path)) });
  await mkdir(cache);
  for (const name of SHARED) {
    const shared = join(cacheDirectory(host.environment), name);
    await mkdir(shared, { recursive: true });
    await symlink(shared, join(cache, name));
  }
  const { packageManager } = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8")) as PackageFile;
  const env = { ...host.environment, K3S_CACHE_DIR: cache };
  const run = (command: string, ...args: readonly string[]) =>
    runIn(folder, [command, ...args], { ...host, environment: env });
  await run(
    "npm",
    "exec",
    "--yes",
    packageManager,
    "--",
    "install",
    "--frozen-lockfile",
    "--prefer-offline",
    "--silent",
  );
  await run("node_modules/.bin/node", "packages/native/build.ts");
  await run("node_modules/.bin/node", "build/src/dist.ts");
  return await fileDigest(join(folder, "dist/k3s"));
}

interface PackageFile {
  readonly packageManager: string;
}

async function runIn(
  cwd: string,
  [command, ...args]: readonly [string, ...string[]],
  { environment, signal }: Pick<BuildHost, "environment" | "signal">,
): Promise<void> {
  const child = spawn(command, args, { cwd, env: { ...environment }, signal, stdio: ["ignore", "ignore", "inherit"] });
  const [code] = (await once(child, "close")) as [number | null];
  if (code === 0) return;
  throw new NodeError("ERR_BUILD_FAILED", `Cannot build in "${cwd}": ${[command, ...args].join(" ")} failed`, {
    hint: "See its message above",
  });
}

await runMain(main);
