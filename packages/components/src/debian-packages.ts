import { join } from "node:path";
import { makeDirectory } from "@k3s/files";
import { PrivateApt, type BinaryPackage } from "./apt.ts";
import { findDebianSuite } from "./debian-suite.ts";
import { ComponentError } from "./errors.ts";
import { runCommand } from "./run-command.ts";
import type { SourceContext } from "./source-context.ts";

/**
 * Downloads packages of this Debian machine's archive and unpacks them into the folder `root`; nothing is installed. Dependencies
 * are not followed. Rejects with ComponentError, also on a machine that is no Debian of a known suite.
 */
export async function unpackDebianPackages(
  names: readonly string[],
  root: string,
  context: SourceContext,
): Promise<void> {
  const suite = await findDebianSuite();
  if (suite === undefined) throw ComponentError.build("unpack packages", "this machine is no Debian of a known suite");
  const folder = join(context.cacheDir, "debian", suite.codename);
  const apt = await PrivateApt.open(join(folder, "apt"), suite.codename, context);
  const packages = await apt.downloadPackages(names, join(folder, "packages"), "Download packages");
  await unpackPackages(packages, root, context);
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
