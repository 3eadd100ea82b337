import { mkdir, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createSet } from "../../src/create-set.ts";
import type { Manifest } from "../../src/manifest.ts";
import { fakePrograms, writePrograms } from "./fake-programs.ts";

/** A complete component folder at `folder` with programs of ours in place of upstream's, a host tool link and an image. */
export async function writeComponentFolder(folder: string, kubernetes = "1.30.14"): Promise<Manifest> {
  await writePrograms(folder, fakePrograms(kubernetes));
  await writePrograms(folder, new Map([["bin/aux/aux-run", "#!/bin/sh\n"]]));
  await symlink("aux-run", join(folder, "bin/aux/iptables"));
  await mkdir(join(folder, "images"));
  await writeFile(join(folder, "images/pause.tar"), "an image");
  return createSet({ folder, cniVersion: "unknown", originOf: () => ({ source: "test" }) });
}
