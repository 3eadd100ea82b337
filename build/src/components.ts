import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { provideComponents, type Version } from "@k3s/components";
import { cacheDirectory, COMPONENT_OPTIONS, readComponentOptions } from "./component-options.ts";
import { runMain, type BuildHost } from "./run-main.ts";

const HELP = `Makes a folder with the upstream programs of a release.

  node build/src/components.ts [options] --out DIR

  --source NAME      auto, upstream, debian or dir                  [K3S_COMPONENT_SOURCE]
  --dir DIR          folder with your own binaries, for source dir  [K3S_COMPONENT_DIR]
  --mirror URL       prefix of a mirror of the release servers      [K3S_COMPONENT_MIRROR]
  --kubernetes V     1.30 or 1.30.2                                 [K3S_KUBERNETES]
  --out DIR          folder to make; replaced as a whole

Downloads and builds are kept in K3S_CACHE_DIR (default: k3s-build in the user's cache folder).
`;

async function main({ argv, environment, progress, signal }: BuildHost): Promise<number> {
  const options = { ...COMPONENT_OPTIONS, out: { type: "string" }, help: { type: "boolean" } } as const;
  const { values } = parseArgs({ args: [...argv], options, strict: true });
  if (values.help === true || values.out === undefined) {
    process.stdout.write(HELP);
    return values.help === true ? 0 : 1;
  }
  const wanted = { ...readComponentOptions(values, environment), out: resolve(values.out) };
  const context = { cacheDir: cacheDirectory(environment), environment, progress, signal };
  const { versions, dir } = await provideComponents(wanted, context);
  const known: readonly (readonly [string, Version])[] = Object.entries(versions);
  const found = known.map(([name, version]) => `${name} ${version.text}`);
  process.stdout.write(`${dir}: ${found.join(", ")}\n`);
  return 0;
}

await runMain(main);
