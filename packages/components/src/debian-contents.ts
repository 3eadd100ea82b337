import { cp } from "node:fs/promises";
import { basename, join } from "node:path";
import { makeDirectory } from "@k3s/files";
import type { BinaryPackage } from "./apt.ts";
import { runCommand } from "./run-command.ts";
import type { SourceContext } from "./source-context.ts";

/** The package of each file, by the file's base name. */
export async function filesOfPackages(
  packages: readonly BinaryPackage[],
  { environment, signal }: SourceContext,
): Promise<ReadonlyMap<string, BinaryPackage>> {
  const owners = new Map<string, BinaryPackage>();
  for (const entry of packages) {
    const options = { purpose: `list the files of package ${entry.name}`, env: environment, signal };
    // Lines such as "-rw-r--r-- root/root 14 2023-01-01 12:00 ./usr/lib/libx.so.1" or "… ./usr/lib/libx.so -> libx.so.1".
    const list = await runCommand(["dpkg-deb", "-c", entry.path], options);
    for (const [, path = ""] of list.matchAll(/ \.(\/\S+[^/\s])(?: (?:->|link to) .*)?$/gm))
      owners.set(basename(path), entry);
  }
  return owners;
}

/** Copies each package's own statement of its licences to `licenses/<package>` of the component folder. */
export async function stageLicenses(staging: string, root: string, names: readonly string[]): Promise<void> {
  const folder = join(staging, "licenses");
  await makeDirectory(folder);
  for (const name of names) {
    const source = join(root, "usr/share/doc", name, "copyright");
    await cp(source, join(folder, name), { dereference: true });
  }
}
