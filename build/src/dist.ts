import { mkdir, readdir, readFile, rm, stat } from "node:fs/promises";
import { join, relative } from "node:path";
import { parseArgs } from "node:util";
import { loadManifest, provideComponents, waitForLock, type Manifest, type Progress } from "@k3s/components";
import { writeFileAtomic } from "@k3s/files";
import { billOfMaterials, containedFiles } from "./bill-of-materials.ts";
import { buildArm64 } from "./arm64.ts";
import { buildProgram, type Program } from "./build-program.ts";
import { cacheDirectory, COMPONENT_OPTIONS, readComponentOptions } from "./component-options.ts";
import { LICENSES, licenseText } from "./license-text.ts";
import { NodeError } from "@k3s/errors";
import { npmPackages, readPackage } from "./npm-packages.ts";
import { packComponents } from "./pack-components.ts";
import { releaseVersion, writeRelease } from "./release-files.ts";
import { runMain, type BuildHost } from "./run-main.ts";

const ROOT = join(import.meta.dirname, "../..");
const DIST = join(ROOT, "dist");
const LIB = join(DIST, "lib");
const COMPONENTS = join(LIB, "components");

const LOCK_WAIT_MS = 60 * 60_000;

const HELP = `Builds dist/k3s, one file with the upstream programs inside.

  node build/src/dist.ts [--source auto|upstream|debian|dir] [--dir DIR] [--mirror URL] [--kubernetes V] [--release] [--arm64]

--release    also dist/release, what is published: compressed as well as possible, which takes minutes the first time for a set of
             programs, with checksums, a manifest of all files and a bill of materials
--arm64      dist/k3s-arm64 instead, as far as this machine can make it; it says what is missing

See node build/src/components.ts --help for the other options.
`;

async function main({ argv, environment, progress, signal }: BuildHost): Promise<number> {
  const options = {
    ...COMPONENT_OPTIONS,
    release: { type: "boolean" },
    arm64: { type: "boolean" },
    help: { type: "boolean" },
  } as const;
  const { values } = parseArgs({ args: [...argv], options, strict: true });
  if (values.help === true) {
    process.stdout.write(HELP);
    return 0;
  }
  if (values.arm64 === true && values.release === true) throw unpublishable();
  const wanted = readComponentOptions(values, environment);
  await mkdir(LIB, { recursive: true });
  await using _lock = await waitForLock(join(DIST, ".lock"), {
    limitMs: LOCK_WAIT_MS,
    onWait: (owner) => progress({ step: "Wait for another build", note: `process ${owner} builds here` }),
    signal,
  });
  const cacheDir = cacheDirectory(environment);
  await removeOldLayout();
  const context = { cacheDir, environment, progress, signal };
  if (values.arm64 === true) {
    await buildArm64(DIST, context);
    return 0;
  }
  progress({ step: "Bundle k3s" });
  const program = await buildProgram(join(LIB, "program"));
  progress({ step: "Bundle k3s", finished: true });
  const { versions } = await provideComponents({ ...wanted, out: COMPONENTS }, context);
  const manifest = await loadManifest(COMPONENTS);
  const documents = await writeDocuments(program, manifest);
  const isRelease = values.release === true;
  const output = join(DIST, "k3s");
  const upstream = { components: COMPONENTS, manifest };
  const extras = [{ name: LICENSES, path: join(LIB, LICENSES) }];
  await packComponents({ program: program.path, upstream, extras, isSmall: isRelease, cacheDir, progress, output });
  const { kubernetes, containerd } = versions;
  const note = `dist/k3s, ${await megabytes(output)}, Kubernetes ${kubernetes.text}, containerd ${containerd.text}`;
  progress({ step: "Build", note });
  if (isRelease) await publish({ executable: output, program, manifest, documents }, progress);
  return 0;
}

function unpublishable(): NodeError {
  return new NodeError("ERR_BUILD_OPTION", "Cannot make a release for arm64 here: it would have no upstream programs", {
    hint: "Build on a machine of that processor; --arm64 alone makes the executable without them",
  });
}

/** Writes what is inside to dist/lib and returns what is published beside the executable. */
async function writeDocuments(program: Program, manifest: Manifest): Promise<ReadonlyMap<string, string>> {
  const libraries = await npmPackages(ROOT, program.inputs);
  const node = await readPackage(join(ROOT, "node_modules", `node-linux-${process.arch}`));
  const own = await readFile(join(ROOT, "LICENSE"), "utf8");
  const upstream = { components: COMPONENTS, manifest };
  const licenses = await licenseText({ own, node, libraries, upstream });
  await writeFileAtomic(join(LIB, LICENSES), licenses, { mode: 0o644 });
  const version = releaseVersion(manifest);
  const files = await containedFiles(program.parts, manifest);
  const { architecture } = manifest;
  const list = { name: "k3s", version, commit: program.commit, architecture, files };
  const bill = billOfMaterials({ version, files, libraries, distribution: "debian-12" });
  return new Map([
    [`k3s-${architecture}.manifest.json`, `${JSON.stringify(list, undefined, 2)}\n`],
    [`k3s-${architecture}.cdx.json`, `${JSON.stringify(bill, undefined, 2)}\n`],
    [`k3s-${architecture}.licenses.txt`, licenses],
  ]);
}

interface Published {
  readonly executable: string;
  readonly program: Program;
  readonly manifest: Manifest;
  readonly documents: ReadonlyMap<string, string>;
}

async function publish({ executable, program, manifest, documents }: Published, progress: Progress): Promise<void> {
  const { architecture } = manifest;
  const folder = join(DIST, "release");
  const sizes = await writeRelease({ executable, architecture, documents, folder, progress });
  // The programs are compressed already: what is appended takes as much again.
  const appended = (await stat(executable)).size - (await stat(program.path)).size;
  const zstd = [...sizes].find(([name]) => name.endsWith(".zst"))?.[1] ?? 0;
  progress({ step: "Release", note: `without upstream programs ${((zstd - appended) / 1e6).toFixed(1)} MB as zstd` });
  for (const [name, size] of sizes) progress({ step: "Release", note: `${name} ${(size / 1e6).toFixed(1)} MB` });
  const plain = (await stat(executable)).size;
  assertSizes({
    "the executable": plain,
    "the download": zstd,
    "the download without upstream programs": zstd - appended,
  });
  process.stdout.write(`Release ${releaseVersion(manifest)} in ${relative(ROOT, folder)}\n`);
}

/** In bytes: what small machines and slow lines are promised. */
const SIZES_MAX = {
  "the executable": 215e6,
  "the download": 130e6,
  "the download without upstream programs": 32e6,
} as const;

function assertSizes(sizes: Readonly<Record<keyof typeof SIZES_MAX, number>>): void {
  for (const [what, limit] of Object.entries(SIZES_MAX)) {
    const size = sizes[what as keyof typeof SIZES_MAX]; // sound: the keys of the line above
    if (size <= limit) continue;
    throw new NodeError("ERR_BUILD_SIZE", `Cannot release: ${what} has ${size} bytes, ${limit} are allowed`, {
      hint: "Look for what has grown in dist/release/*.manifest.json, or raise the limit in build/src/dist.ts with the reason",
    });
  }
}

async function megabytes(path: string): Promise<string> {
  return `${((await stat(path)).size / 1e6).toFixed(1)} MB`;
}

/** What earlier builds left beside the launcher that dist/k3s was. */
async function removeOldLayout(): Promise<void> {
  for (const name of await readdir(LIB))
    if (!["components", "licenses", "program", "program-arm64"].includes(name.split(".")[0] ?? ""))
      await rm(join(LIB, name), { recursive: true });
}

await runMain(main);
