import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { loadManifest } from "@k3s/components";
import { buildProgram, hostTarget } from "./build-program.ts";
import { cacheDirectory } from "./component-options.ts";
import { LICENSES } from "./license-text.ts";
import { packComponents } from "./pack-components.ts";
import { runMain, type BuildHost } from "./run-main.ts";

const LIB = join(import.meta.dirname, "../../dist/lib");
const COMPONENTS = join(LIB, "components");

const HELP = `Builds these sources as another release with the upstream programs of dist, for tests of upgrades.

  node build/src/next-release.ts --suffix SUFFIX --out FILE

--suffix   end of the version, such as k3s2
`;

async function main({ argv, environment, progress }: BuildHost): Promise<number> {
  const options = { suffix: { type: "string" }, out: { type: "string" } } as const;
  const { suffix, out } = parseArgs({ args: [...argv], options, strict: true }).values;
  if (suffix === undefined || out === undefined) {
    process.stdout.write(HELP);
    return 2;
  }
  const folder = await mkdtemp(join(tmpdir(), "k3s-next-release-"));
  try {
    const program = await buildProgram(folder, { ...hostTarget(), release: suffix });
    await packComponents({
      program: program.path,
      upstream: { components: COMPONENTS, manifest: await loadManifest(COMPONENTS) },
      extras: [{ name: LICENSES, path: join(LIB, LICENSES) }],
      ...{ isSmall: false, cacheDir: cacheDirectory(environment), progress, output: resolve(out) },
    });
    return 0;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

await runMain(main);
