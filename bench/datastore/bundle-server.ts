import { copyFile, glob, mkdir, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { build } from "esbuild";

const ROOT = join(import.meta.dirname, "../..");
/** Libraries in CommonJS call require() for Node's own modules, which a module has not by itself. */
const REQUIRE_BANNER =
  'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);';

/**
 * Bundles bench/store-server.ts as the product is bundled: run from its sources it would carry the compiler around, and its
 * memory would be that of another program. Resolves with the file to run, inside `folder`.
 */
export async function bundleServer(folder: string): Promise<string> {
  await mkdir(folder, { recursive: true });
  const workers = await Array.fromAsync(glob("packages/*/src/*-worker.ts", { cwd: ROOT }), (path) => join(ROOT, path));
  await build({
    entryPoints: [join(ROOT, "bench/store-server.ts"), ...workers],
    entryNames: "[name]",
    outdir: folder,
    bundle: true,
    splitting: true,
    platform: "node",
    format: "esm",
    target: "node24",
    minify: true,
    keepNames: true,
    banner: { js: REQUIRE_BANNER },
    define: { K3S_FAILPOINTS: "false" },
    logLevel: "warning",
  });
  await writeFile(join(folder, "package.json"), '{ "type": "module" }\n');
  const sqlite = dirname(createRequire(import.meta.url).resolve("better-sqlite3/package.json"));
  await copyFile(join(sqlite, `prebuilds/linux-${process.arch}.node`), join(folder, "better_sqlite3.node"));
  await copyFile(join(ROOT, "packages/native/out/k3s-native.node"), join(folder, "k3s-native.node"));
  return join(folder, "store-server.js");
}
