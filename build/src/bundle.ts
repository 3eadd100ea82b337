import { glob, readdir, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { writeFileAtomic } from "@k3s/files";
import { build, type OutputFile } from "esbuild";

export interface BundleOptions {
  readonly root: string;
  /** Folder that receives `main.js`, one `<name>-worker.js` for each worker thread, and shared chunks. */
  readonly lib: string;
  readonly release: string;
  readonly commit: string;
  /** Whether tests may let it fail at the points that the sources name. A release may not. Default: false. */
  readonly failpoints?: boolean;
}

// Libraries in CommonJS call require() for Node's own modules, which a module has not by itself.
const REQUIRE_BANNER =
  'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);';

/** Bundles the product for the pinned Node. Files are replaced one by one, whole; those of earlier builds go last. */
export async function bundleProduct(options: BundleOptions): Promise<void> {
  const { root, lib, release, commit, failpoints = false } = options;
  const result = await build({
    entryPoints: [join(root, "cmd/k3s/src/main.ts"), ...(await findWorkers(root))],
    entryNames: "[name]",
    chunkNames: "chunk-[hash]",
    outdir: lib,
    write: false,
    bundle: true,
    splitting: true, // tools such as kubectl load a fraction of the product
    platform: "node",
    format: "esm",
    target: "node24",
    minify: true,
    keepNames: true, // class names are part of messages
    lineLimit: 200, // an uncaught error prints its source line
    legalComments: "none",
    banner: { js: REQUIRE_BANNER },
    define: { K3S_BUILD: JSON.stringify({ release, commit }), K3S_FAILPOINTS: String(failpoints) },
    logLevel: "warning",
  });
  const packageFile = { path: join(lib, "package.json"), contents: Buffer.from('{ "type": "module" }\n') };
  for (const file of [packageFile, ...byDependence(result.outputFiles)])
    await writeFileAtomic(file.path, file.contents, { mode: 0o644 });
  await removeStale(lib, new Set(result.outputFiles.map((file) => basename(file.path))));
}

async function findWorkers(root: string): Promise<string[]> {
  return Array.fromAsync(glob("packages/*/src/*-worker.ts", { cwd: root }), (path) => join(root, path));
}

/** Chunks before what imports them, so that a process that starts meanwhile finds all it needs. */
function byDependence(files: readonly OutputFile[]): readonly OutputFile[] {
  const isChunk = (file: OutputFile) => basename(file.path).startsWith("chunk-");
  return [...files.filter(isChunk), ...files.filter((file) => !isChunk(file))];
}

async function removeStale(lib: string, current: ReadonlySet<string>): Promise<void> {
  for (const name of await readdir(lib)) if (/\.js$/.test(name) && !current.has(name)) await rm(join(lib, name));
}
