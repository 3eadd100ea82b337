import { execFile } from "node:child_process";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import type { SourceContext } from "@k3s/components";
import { writeFileAtomic } from "@k3s/files";
import { buildProgram } from "./build-program.ts";
import { provideCrossTools } from "./cross-tools.ts";
import { LICENSES, licenseText } from "./license-text.ts";
import { provideNodePackage } from "./node-package.ts";
import { npmPackages, readPackage } from "./npm-packages.ts";
import { packComponents } from "./pack-components.ts";

const ROOT = join(import.meta.dirname, "../..");

/**
 * Makes `dist/k3s-arm64` on a machine of another processor. It has everything but the upstream programs, whose versions only a machine
 * that can run them finds out.
 */
export async function buildArm64(dist: string, context: SourceContext): Promise<void> {
  const { progress, signal } = context;
  const step = "Build k3s for arm64";
  progress({ step });
  const tools = await provideCrossTools(context);
  const nodePackage = await provideNodePackage(ROOT, "arm64", context);
  const folder = join(dist, "lib/program-arm64");
  const native = join(folder, "native");
  await mkdir(native, { recursive: true });
  const compile = [join(ROOT, "packages/native/build.ts"), "--out", native, "--", ...tools.compiler];
  await promisify(execFile)(process.execPath, compile, { env: { ...tools.environment }, signal });
  const { strip, environment } = tools;
  const program = await buildProgram(folder, { architecture: "arm64", nodePackage, native, strip, environment });
  const own = await readFile(join(ROOT, "LICENSE"), "utf8");
  const libraries = await npmPackages(ROOT, program.inputs);
  const text = await licenseText({ own, node: await readPackage(nodePackage), libraries, upstream: undefined });
  const licenses = { name: LICENSES, path: join(folder, LICENSES) };
  await writeFileAtomic(licenses.path, text, { mode: 0o644 });
  await packComponents({
    ...{ program: program.path, upstream: undefined, extras: [licenses], isSmall: false },
    ...{ cacheDir: context.cacheDir, progress, output: join(dist, "k3s-arm64") },
  });
  progress({ step, finished: true });
  progress({
    step,
    note: "dist/k3s-arm64 has no upstream programs: this machine cannot run them. Name a folder with them in K3S_COMPONENTS_DIR",
  });
}
