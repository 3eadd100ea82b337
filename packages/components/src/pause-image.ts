import { createHash } from "node:crypto";
import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { makeDirectory } from "@k3s/files";
import { elfArchitecture } from "./architecture.ts";
import { writeImageArchive } from "./image-archive.ts";
import { runCommand, type CommandOptions } from "./run-command.ts";
import type { SourceContext } from "./source-context.ts";

/** Reference of the pause image in the kubelet's and containerd's defaults. */
const PAUSE_IMAGE = "docker.io/rancher/mirrored-pause:3.10.2";

const SOURCES = join(import.meta.dirname, "../native");

/** Changes with the source of our own programs, so that cached sets do. */
export async function ownProgramsDigest(): Promise<string> {
  const hash = createHash("sha256");
  for (const name of (await readdir(SOURCES)).sort()) hash.update(await readFile(join(SOURCES, name)));
  return hash.digest("hex").slice(0, 8);
}

export interface CompileOptions extends Pick<CommandOptions, "env" | "signal"> {
  /** Name of the C source in this package's `native` folder, without its ending. */
  readonly program: "pause" | "aux-run";
  readonly output: string;
}

/** Compiles one of our small static programs. Rejects with ERR_COMPONENT_BUILD. */
export async function compileStatic({ program, output, env, signal }: CompileOptions): Promise<void> {
  const flags = ["-static", "-Os", "-s", "-Wall", "-Wextra", "-Werror"];
  const source = join(SOURCES, `${program}.c`);
  await runCommand(["gcc", ...flags, "-o", output, source], { purpose: `compile ${program}`, env, signal });
}

/** Adds the pause image, which every source builds from our own program. */
export async function stagePause(staging: string, context: SourceContext): Promise<void> {
  const program = join(staging, "pause.tmp");
  await makeDirectory(join(staging, "images"));
  await compileStatic({ program: "pause", output: program, env: context.environment, signal: context.signal });
  await writePauseImage(join(staging, "images/pause.tar"), program);
  await rm(program);
}

async function writePauseImage(path: string, program: string): Promise<void> {
  const architecture = await elfArchitecture(program);
  await writeImageArchive(path, {
    ...(architecture === undefined ? {} : { architecture }),
    tags: [PAUSE_IMAGE],
    entries: [{ type: "file", path: "pause", mode: 0o755, data: await readFile(program) }],
    config: { entrypoint: ["/pause"], user: "65535:65535" },
  });
}
