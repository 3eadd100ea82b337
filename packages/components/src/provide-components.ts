import { createHash } from "node:crypto";
import { readdir, rename, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { makeDirectory, readIfExists, writeFileAtomic } from "@k3s/files";
import { hostArchitecture, type Architecture } from "./architecture.ts";
import { loadComponentSet, type ComponentSet } from "./component-set.ts";
import { stageDebian } from "./debian-source.ts";
import { findDebianSuite, type DebianSuite } from "./debian-suite.ts";
import { directoryDigest, stageDirectory } from "./dir-source.ts";
import { DEFAULT_DOWNLOAD_POLICY } from "./download.ts";
import { ComponentError } from "./errors.ts";
import { installFiles } from "./install-files.ts";
import { loadManifest, manifestDigest, MANIFEST_NAME, type Manifest } from "./manifest.ts";
import { ownProgramsDigest } from "./pause-image.ts";
import { findRelease, NEWEST_MINOR } from "./releases.ts";
import type { SourceContext } from "./source-context.ts";
import { stageUpstream } from "./upstream-source.ts";
import { absentAsUndefined, verifyFiles } from "./verify.ts";
import { waitForLock } from "./wait-for-lock.ts";

/** Where components come from; `auto` is `debian` on a suite that can make the wanted version, else `upstream`. */
export type SourceName = "auto" | "upstream" | "debian" | "dir";

/** Which programs a component folder is made of, and where it lies. */
export interface ProvideOptions {
  readonly source: SourceName;
  /** Folder with binaries, for source `dir`. */
  readonly dir?: string | undefined;
  /** Address prefix of a mirror, for source `upstream`. */
  readonly mirror?: string | undefined;
  /** Address prefix in the place of `https://` for the publishers' checksum lists, for source `upstream`. */
  readonly publishers?: string | undefined;
  /** Wanted version of Kubernetes, `1.30` or `1.30.2`; absent: what the source has. */
  readonly kubernetes?: string | undefined;
  /** Path of components.lock.json, for source `upstream`. */
  readonly lockFile: string;
  /** The component folder to make; replaced as a whole. */
  readonly out: string;
}

interface Plan {
  /** Names the cached set. */
  readonly key: string;
  readonly stage: (staging: string) => Promise<void>;
}

const LOCK_WAIT_MS = 60 * 60_000;

/** Makes `out` a complete component folder from the wanted source. With everything cached it takes well under a second. */
export async function provideComponents(options: ProvideOptions, context: SourceContext): Promise<ComponentSet> {
  const { out } = options;
  if (options.source === "dir") return await provideDirectory(options, context);
  const plan = await choosePlan(options, context);
  await makeDirectory(join(context.cacheDir, "sets"));
  const name = `${plan.key}-${await ownProgramsDigest()}`;
  await using _lock = await waitForLock(join(context.cacheDir, "sets", `${name}.lock`), {
    limitMs: LOCK_WAIT_MS,
    onWait: (owner) =>
      context.progress({ step: "Wait for another build", note: `process ${owner} makes the same components` }),
    signal: context.signal,
  });
  const cached = join(context.cacheDir, "sets", name);
  const manifest = (await intactManifest(cached, context)) ?? (await makeSet(cached, plan));
  const present = await loadManifest(out).catch(() => undefined);
  const isSame = present !== undefined && manifestDigest(present) === manifestDigest(manifest);
  if (!isSame || (await intactManifest(out, context)) === undefined)
    await replaceFolder(out, (to) => installSet(cached, to, manifest));
  return await loadComponentSet(out);
}

/** Nothing is cached but what was seen: the user's folder is a set already, and may change. */
async function provideDirectory({ dir, out }: ProvideOptions, context: SourceContext): Promise<ComponentSet> {
  if (dir === undefined)
    throw ComponentError.unsupported("take components from a folder", "none is named", "Add --dir DIR");
  const sets = join(context.cacheDir, "sets");
  const record = join(sets, `dir-${sha256(out).slice(0, 16)}`);
  const seen = sha256(`${await directoryDigest(dir)} ${await ownProgramsDigest()}`);
  const manifest = await intactManifest(out, context);
  const last = (await readIfExists(record))?.toString();
  if (manifest === undefined || last !== `${seen} ${manifestDigest(manifest)}`) {
    await replaceFolder(out, (staging) => stageDirectory(staging, dir, context));
    await makeDirectory(sets);
    await writeFileAtomic(record, `${seen} ${manifestDigest(await loadManifest(out))}`, { mode: 0o644 });
  }
  return await loadComponentSet(out);
}

function sha256(text: string): string {
  return createHash("sha256").update(text).digest("hex");
}

async function makeSet(cached: string, plan: Plan): Promise<Manifest> {
  await replaceFolder(cached, plan.stage);
  return loadManifest(cached);
}

async function installSet(from: string, to: string, manifest: Manifest): Promise<void> {
  await installFiles({ from, to, manifest });
  await writeFileAtomic(join(to, MANIFEST_NAME), `${JSON.stringify(manifest, undefined, 2)}\n`, { mode: 0o644 });
}

/** The list of a folder whose files are all as recorded; undefined when it has to be made (again). */
async function intactManifest(folder: string, { progress }: SourceContext): Promise<Manifest | undefined> {
  try {
    const manifest = await loadManifest(folder);
    await verifyFiles(folder, manifest.files);
    return manifest;
  } catch (error) {
    if (!(error instanceof ComponentError)) throw error;
    if (error.code === "ERR_COMPONENT_CHECKSUM") progress({ step: "Check components", note: error.message });
    return undefined;
  }
}

/** Makes the folder under another name first, so that `path` is whole or as it was. Bad files that were kept aside survive. */
async function replaceFolder(path: string, fill: (folder: string) => Promise<void>): Promise<void> {
  const temporary = `${path}.tmp`;
  const old = `${path}.old`;
  await rm(temporary, { recursive: true, force: true });
  await makeDirectory(temporary);
  await fill(temporary);
  await rm(old, { recursive: true, force: true });
  await rename(path, old).catch(absentAsUndefined);
  await rename(temporary, path);
  await keepBadFiles(old, `${path}.bad`);
  await rm(old, { recursive: true, force: true });
}

async function keepBadFiles(folder: string, keptIn: string): Promise<void> {
  const entries = (await readdir(folder, { recursive: true }).catch(absentAsUndefined)) ?? [];
  for (const path of entries.filter((name) => /\.bad-[^/]*$/.test(name))) {
    await makeDirectory(keptIn);
    await rename(join(folder, path), join(keptIn, basename(path)));
  }
}

async function choosePlan(options: ProvideOptions, context: SourceContext): Promise<Plan> {
  const { source, kubernetes } = options;
  const suite = source === "upstream" ? undefined : await findDebianSuite();
  if (suite !== undefined && (source === "debian" || suits(suite, kubernetes)))
    return debianPlan(suite, options, context);
  if (source === "debian")
    throw ComponentError.unsupported(
      "take components from Debian packages",
      "this machine is not a Debian 12 (bookworm)",
      "Use --source upstream, or --source dir with your own binaries",
    );
  return upstreamPlan(options, context);
}

function suits({ recipe }: DebianSuite, kubernetes: string | undefined): boolean {
  const { version } = recipe.kubernetes;
  return kubernetes === undefined || [version, `v${version}`, version.replace(/\.\d+$/, "")].includes(kubernetes);
}

function debianPlan(suite: DebianSuite, { kubernetes }: ProvideOptions, context: SourceContext): Plan {
  const { codename, recipe } = suite;
  if (!suits(suite, kubernetes))
    throw ComponentError.unsupported(
      `make Kubernetes ${kubernetes ?? ""} from Debian packages`,
      `${codename} has ${recipe.kubernetes.version}`,
      "Use --source upstream for other versions",
    );
  const key = `debian-${codename}-kubernetes-${recipe.kubernetes.version}-r${recipe.revision}-${architecture()}`;
  return { key, stage: (staging) => stageDebian(staging, suite, context) };
}

function upstreamPlan({ kubernetes, mirror, publishers, lockFile }: ProvideOptions, context: SourceContext): Plan {
  const release = findRelease(kubernetes ?? NEWEST_MINOR);
  const digest = sha256(JSON.stringify(release)).slice(0, 12);
  const options = {
    release,
    architecture: architecture(),
    mirror,
    publishers,
    lockFile,
    policy: DEFAULT_DOWNLOAD_POLICY,
  };
  return {
    key: `upstream-kubernetes-${release.kubernetes}-${digest}-${options.architecture}`,
    stage: (staging) => stageUpstream(staging, options, context),
  };
}

function architecture(): Architecture {
  const found = hostArchitecture();
  if (found === undefined)
    throw ComponentError.unsupported(
      "make components",
      `no programs exist for ${process.arch}`,
      "Use an amd64 machine",
    );
  return found;
}
