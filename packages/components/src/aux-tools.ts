import { copyFile, readdir, symlink } from "node:fs/promises";
import { basename, join } from "node:path";
import { makeDirectory } from "@k3s/files";
import { ComponentError } from "./errors.ts";
import { compileStatic } from "./pause-image.ts";
import { runCommand } from "./run-command.ts";
import type { SourceContext } from "./source-context.ts";

export interface AuxOptions {
  /** Folder that the packages were unpacked to. */
  readonly root: string;
  /** `bin/aux` of the component folder. */
  readonly aux: string;
  /** Tool names to packaged programs, relative to `root`. */
  readonly tools: Readonly<Record<string, string>>;
}

const LIBRARY_FOLDERS = ["usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"];
const EXTENSION_FOLDER = "usr/lib/x86_64-linux-gnu/xtables";
// Parts of glibc: they must be the host's own, and every host that runs the other programs has them.
const HOST_LIBRARIES = /^(linux-vdso|ld-linux|libc|libm|libdl|libpthread|librt|libresolv)\b/;

/**
 * Fills `bin/aux` so that its tools run on a host that has neither them nor their libraries: programs in `libexec`,
 * libraries in `lib`, and for each tool a link to `aux-run`, which starts the one with the other.
 */
export async function stageAuxTools({ root, aux, tools }: AuxOptions, context: SourceContext): Promise<void> {
  const programs = new Set(Object.values(tools));
  for (const folder of ["lib/xtables", "libexec"]) await makeDirectory(join(aux, folder));
  for (const program of programs) {
    await copyFile(join(root, program), join(aux, "libexec", basename(program)));
    for (const library of await librariesOf(root, program, context))
      await copyFile(library, join(aux, "lib", basename(library)));
  }
  for (const name of await readdir(join(root, EXTENSION_FOLDER)))
    await copyFile(join(root, EXTENSION_FOLDER, name), join(aux, "lib/xtables", name));
  await compileStatic({
    program: "aux-run",
    output: join(aux, "aux-run"),
    env: context.environment,
    signal: context.signal,
  });
  for (const [tool, program] of Object.entries(tools)) {
    if (basename(program) !== tool) await symlink(basename(program), join(aux, "libexec", tool));
    await symlink("aux-run", join(aux, tool));
  }
}

/** Paths of the packaged libraries that a program loads, by the dynamic loader's own search. */
async function librariesOf(root: string, program: string, context: SourceContext): Promise<readonly string[]> {
  const folders = LIBRARY_FOLDERS.map((folder) => join(root, folder));
  const env = { ...context.environment, LD_LIBRARY_PATH: folders.join(":") };
  const purpose = `find the libraries of ${program}`;
  const output = await runCommand(["ldd", join(root, program)], { purpose, env, signal: context.signal });
  const found = [...output.matchAll(/^\s*(\S+)(?: => (\S+))?/gm)].map(([, name = "", path = ""]) => ({ name, path }));
  const needed = found.filter(({ name }) => !HOST_LIBRARIES.test(basename(name)));
  const foreign = needed.find(({ path }) => !path.startsWith(root));
  if (foreign !== undefined) throw ComponentError.build(purpose, `no package provides ${foreign.name}`);
  return needed.map(({ path }) => path);
}
