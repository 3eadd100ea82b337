import { createHash } from "node:crypto";
import { execFile } from "node:child_process";
import { chmod, copyFile, glob, mkdir, readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { basename, join } from "node:path";
import { promisify } from "node:util";
import { NodeError } from "@k3s/errors";
import { bundleProduct } from "./bundle.ts";
import { unlessMade } from "./made-file.ts";
import { makeExecutable } from "./make-executable.ts";

const run = promisify(execFile);
const ROOT = join(import.meta.dirname, "../..");
/** Suffix of the version, counted per version of Kubernetes as the original does. */
export const RELEASE = "k3s1";

/** One file that the program consists of. */
export interface ProgramPart {
  readonly name: string;
  readonly path: string;
  readonly source: string;
  readonly version?: string;
}

export interface Program {
  /** The executable without upstream programs. */
  readonly path: string;
  readonly parts: readonly ProgramPart[];
  /** Source files of the bundle, relative to the root. */
  readonly inputs: readonly string[];
  readonly commit: string;
}

/** What the program is made for. */
export interface Target {
  /** Spelling of Node. */
  readonly architecture: string;
  /** The pinned Node's package for it. */
  readonly nodePackage: string;
  /** Folder with `k3s-native.node` and `k3s-launch`. */
  readonly native: string;
  readonly strip: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** End of the version. Default: {@link RELEASE}. */
  readonly release?: string;
}

/** The machine that builds. */
export function hostTarget(): Target {
  return {
    architecture: process.arch,
    nodePackage: packageFolder(ROOT, `node-linux-${process.arch}`),
    native: join(ROOT, "packages/native/out"),
    strip: "strip",
    environment: process.env,
  };
}

/** Makes the executable that carries all of ours, in `folder`. With nothing changed it takes the time of the bundler. */
export async function buildProgram(folder: string, target: Target = hostTarget()): Promise<Program> {
  await mkdir(join(folder, "bundle"), { recursive: true });
  const commit = await findCommit();
  const bundle = await bundleProduct({
    root: ROOT,
    out: join(folder, "bundle"),
    release: target.release ?? RELEASE,
    commit,
  });
  const node = await strippedNode(folder, target);
  const assets = [
    ...[...bundle.scripts].map(([name, path]): ProgramPart => ({ name, path, source: "bundled here" })),
    ...(await nativeParts(target)),
    ...(await manifests()),
  ];
  const main: ProgramPart = { name: "main.cjs", path: bundle.main, source: "bundled here" };
  const parts = [node, main, ...assets];
  const digests = await Promise.all(parts.map(async ({ name, path }) => `${name} ${await digestOf(path)}`));
  const recipe = await readFile(join(import.meta.dirname, "make-executable.ts"), "utf8");
  const path = join(folder, "k3s");
  const useCodeCache = target.architecture === process.arch; // V8 refuses one of another processor
  await unlessMade(path, [recipe, process.version, ...digests], (temporary) =>
    makeExecutable({
      ...{ node: node.path, main: main.path, useCodeCache, output: temporary },
      assets: new Map(assets.map((part) => [part.name, part.path])),
    }),
  );
  return { path, parts, inputs: bundle.inputs, commit };
}

async function findCommit(): Promise<string> {
  return run("git", ["-C", ROOT, "rev-parse", "--short=8", "HEAD"]).then(
    ({ stdout }) => stdout.trim(),
    () => "HEAD", // no git, or not a clone
  );
}

/** The pinned Node without its symbols, which are a sixth of it. */
async function strippedNode(folder: string, target: Target): Promise<ProgramPart> {
  const { architecture, nodePackage, strip, environment } = target;
  const source = join(nodePackage, "bin/node");
  const path = join(folder, "node");
  await unlessMade(path, [await digestOf(source)], async (temporary) => {
    await copyFile(source, temporary);
    await chmod(temporary, 0o755);
    try {
      await run(strip, ["-s", temporary], { env: { ...environment } });
    } catch (cause) {
      throw new NodeError("ERR_BUILD_COMPILE", "Cannot make Node smaller: strip failed", {
        hint: "Install binutils, or start with: sh build/bootstrap.sh build",
        cause,
      });
    }
  });
  return { name: "node", path, source: `npm package node-linux-${architecture}`, version: process.versions.node };
}

async function nativeParts({ native, architecture }: Target): Promise<readonly ProgramPart[]> {
  const sqlite = packageFolder(join(ROOT, "packages/datastore-sqlite"), "better-sqlite3");
  const { version } = JSON.parse(await readFile(join(sqlite, "package.json"), "utf8")) as { readonly version: string };
  const prebuilt = join(sqlite, `prebuilds/linux-${architecture}.node`);
  return [
    { name: "k3s-native.node", path: join(native, "k3s-native.node"), source: "packages/native" },
    { name: "k3s-launch", path: join(native, "k3s-launch"), source: "packages/native" },
    { name: "better_sqlite3.node", path: prebuilt, source: "npm package better-sqlite3", version },
  ];
}

async function manifests(): Promise<readonly ProgramPart[]> {
  const paths = await Array.fromAsync(glob("manifests/*", { cwd: ROOT }));
  return paths.sort().map((path) => ({ name: `manifests/${basename(path)}`, path: join(ROOT, path), source: path }));
}

async function digestOf(path: string): Promise<string> {
  const data = await readFile(path).catch((cause: unknown) => {
    const hint = "Start with: sh build/bootstrap.sh build, or run: node packages/native/build.ts";
    throw new NodeError("ERR_BUILD_COMPILE", `Cannot find "${path}": not built`, { hint, cause });
  });
  return createHash("sha256").update(data).digest("hex");
}

function packageFolder(from: string, name: string): string {
  return join(createRequire(join(from, "package.json")).resolve(`${name}/package.json`), "..");
}
