import { mkdir, readdir, rm, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { loadManifest, provideComponents, waitForLock } from "@k3s/components";
import { buildProgram, RELEASE } from "./build-program.ts";
import { cacheDirectory, COMPONENT_OPTIONS, readComponentOptions } from "./component-options.ts";
import { packComponents } from "./pack-components.ts";
import { runMain, type BuildHost } from "./run-main.ts";

const ROOT = join(import.meta.dirname, "../..");
const DIST = join(ROOT, "dist");

const LOCK_WAIT_MS = 60 * 60_000;

const HELP = `Builds dist/k3s, one file with the upstream programs inside.

  node build/src/dist.ts [--source auto|upstream|debian|dir] [--dir DIR] [--mirror URL] [--kubernetes V] [--small]
                           [--release SUFFIX] [--out DIR]

--release  end of the version, by default ${RELEASE}
--out      folder that receives it, by default dist
--small    compress as well as possible: minutes instead of seconds, the first time for a set of programs

See node build/src/components.ts --help for the other options.
`;

async function main({ argv, environment, progress, signal }: BuildHost): Promise<number> {
  const options = {
    ...COMPONENT_OPTIONS,
    release: { type: "string", default: RELEASE },
    out: { type: "string", default: DIST },
    small: { type: "boolean" },
    help: { type: "boolean" },
  } as const;
  const { values } = parseArgs({ args: [...argv], options, strict: true });
  if (values.help === true) {
    process.stdout.write(HELP);
    return 0;
  }
  const wanted = readComponentOptions(values, environment);
  const dist = resolve(values.out);
  const [lib, components] = [join(dist, "lib"), join(dist, "lib/components")];
  await mkdir(lib, { recursive: true });
  await using _lock = await waitForLock(join(dist, ".lock"), {
    limitMs: LOCK_WAIT_MS,
    onWait: (owner) => progress({ step: "Wait for another build", note: `process ${owner} builds here` }),
    signal,
  });
  const cacheDir = cacheDirectory(environment);
  await removeOldLayout(lib);
  progress({ step: "Bundle k3s" });
  const program = await buildProgram(join(lib, "program"), values.release);
  progress({ step: "Bundle k3s", finished: true });
  const { versions } = await provideComponents(
    { ...wanted, out: components },
    { cacheDir, environment, progress, signal },
  );
  const output = join(dist, "k3s");
  await packComponents({
    ...{ program: program.path, components, manifest: await loadManifest(components), extras: [] },
    ...{ isSmall: values.small === true, cacheDir, progress, output },
  });
  const size = `${((await stat(output)).size / 1e6).toFixed(1)} MB`;
  const { kubernetes, containerd } = versions;
  progress({ step: "Build", note: `${output}, ${size}, Kubernetes ${kubernetes.text}, containerd ${containerd.text}` });
  return 0;
}

/** What earlier builds left beside the launcher that dist/k3s was. */
async function removeOldLayout(lib: string): Promise<void> {
  for (const name of await readdir(lib))
    if (!["components", "program"].includes(name.split(".")[0] ?? "")) await rm(join(lib, name), { recursive: true });
}

await runMain(main);
