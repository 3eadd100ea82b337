import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdir, mkdtemp, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import type { SourceContext } from "@k3s/components";
import { NodeError } from "@k3s/errors";

const run = promisify(execFile);

/**
 * The folder of the pinned Node for another processor, of which the package manager installs nothing: downloaded once, and accepted
 * only with the checksum of the lockfile.
 */
export async function provideNodePackage(
  root: string,
  architecture: string,
  { cacheDir, environment, progress, signal }: SourceContext,
): Promise<string> {
  const name = `node-linux-${architecture}@${process.versions.node}`;
  const folder = join(cacheDir, "node", name);
  if ((await readFile(join(folder, "package.json"), "utf8").catch(() => "")) !== "") return folder;
  const step = `Download ${name}`;
  progress({ step });
  await mkdir(join(cacheDir, "node"), { recursive: true });
  const staging = await mkdtemp(`${folder}.tmp-`);
  try {
    const args = ["pack", name, "--pack-destination", staging, "--silent"];
    const { stdout } = await run("npm", args, { env: { ...environment }, signal });
    const archive = join(staging, stdout.trim());
    await verify(archive, name, await readFile(join(root, "pnpm-lock.yaml"), "utf8"));
    await run("tar", ["-xzf", archive, "-C", staging], { signal });
    await rm(folder, { recursive: true, force: true });
    await rename(join(staging, "package"), folder);
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
  progress({ step, finished: true });
  return folder;
}

async function verify(archive: string, name: string, lockfile: string): Promise<void> {
  const expected = new RegExp(
    `^  ${name.replaceAll(".", "\\.")}:\\n    resolution: \\{integrity: (sha512-\\S+)\\}`,
    "m",
  );
  const recorded = expected.exec(lockfile)?.[1];
  const found = `sha512-${createHash("sha512")
    .update(await readFile(archive))
    .digest("base64")}`;
  if (found === recorded) return;
  throw new NodeError("ERR_BUILD_CHECKSUM", `Cannot use ${name}: its checksum is not that of pnpm-lock.yaml`, {
    hint: "Run the same command again; if that repeats, look for a registry that serves another file",
  });
}
