import { join } from "node:path";
import { makeDirectory } from "@k3s/files";
import { PrivateApt, type BinaryPackage } from "./apt.ts";
import { findDebianSuite } from "./debian-suite.ts";
import { ComponentError } from "./errors.ts";
import { runCommand } from "./run-command.ts";
import type { SourceContext } from "./source-context.ts";

/** Packages of Debian's archive. */
export interface DebianPackages {
  readonly names: readonly string[];
  /** Another suite of Debian than that of this machine; the caller knows that its packages run here. */
  readonly suite?: string;
}

/**
 * Downloads packages of the Debian archive that this machine uses and unpacks them into the folder `root`; nothing is installed.
 * Dependencies are not followed. Rejects with ComponentError, also on a machine that is no Debian of a known suite.
 */
export async function unpackDebianPackages(
  { names, suite }: DebianPackages,
  root: string,
  context: SourceContext,
): Promise<void> {
  const { apt, folder } = await openArchive(suite, context);
  const packages = await apt.downloadPackages(names, join(folder, "packages"), "Download packages");
  await unpackPackages(packages, root, context);
}

/**
 * As {@link unpackDebianPackages}, with all that the packages depend on, the C library among it: their programs run by the dynamic loader that
 * is in `root` as well, also where this machine is too old for them.
 */
export async function unpackDebianClosure(
  { names, suite }: DebianPackages,
  root: string,
  context: SourceContext,
): Promise<void> {
  const { apt } = await openArchive(suite, context);
  await unpackPackages(await apt.downloadClosure(names, "Download packages"), root, context);
}

async function openArchive(
  suite: string | undefined,
  context: SourceContext,
): Promise<{ readonly apt: PrivateApt; readonly folder: string }> {
  const machine = await findDebianSuite();
  if (machine === undefined)
    throw ComponentError.build("unpack packages", "this machine is no Debian of a known suite");
  const { codename } = machine;
  const folder = join(context.cacheDir, "debian", suite ?? codename);
  const lists = join(folder, "apt");
  const apt =
    suite === undefined || suite === codename
      ? await PrivateApt.open(lists, codename, context)
      : await PrivateApt.openOther(lists, { codename, other: suite }, context);
  return { apt, folder };
}

/** Unpacks packages over one another into the folder `root`, made when missing. */
export async function unpackPackages(
  packages: readonly BinaryPackage[],
  root: string,
  { environment, signal }: SourceContext,
): Promise<void> {
  await makeDirectory(root);
  for (const { path, name } of packages)
    await runCommand(["dpkg-deb", "-x", path, root], { purpose: `unpack package ${name}`, env: environment, signal });
}
