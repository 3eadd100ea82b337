import { glob } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "@k3s/files";
import { build, type BuildOptions, type BuildResult } from "esbuild";
import { LIBRARIES_ASSET, librariesSource, libraryOwners, separateLibraries } from "./separate-libraries.ts";

export interface BundleOptions {
  readonly root: string;
  /** Folder that receives `main.cjs` and one `<name>-worker.js` for each worker thread; the same sources make the same bytes. */
  readonly out: string;
  readonly release: string;
  readonly commit: string;
  /** Whether tests may let it fail at the points that the sources name. A release may not. Default: false. */
  readonly failpoints?: boolean;
}

export interface Bundle {
  readonly main: string;
  /** What the main script loads when it needs it, by name: workers, and libraries for some databases. */
  readonly scripts: ReadonlyMap<string, string>;
  /** Every source file that is part of it, relative to the root. */
  readonly inputs: readonly string[];
}

/** How everything of ours is bundled for the pinned Node. */
const COMMON = {
  write: false,
  metafile: true,
  bundle: true,
  platform: "node",
  format: "cjs", // what Node takes as the main script of an executable
  target: "node24",
  minify: true,
  keepNames: true, // class names are part of messages
  lineLimit: 200, // an uncaught error prints its source line
  legalComments: "none", // see `k3s licenses`
  logOverride: { "empty-import-meta": "silent" }, // a module inside an executable has no address, and asks for none
  logLevel: "warning",
} as const satisfies BuildOptions;

/** Bundles the product as the scripts that a single executable can start. */
export async function bundleProduct(options: BundleOptions): Promise<Bundle> {
  const { root, out, release, commit, failpoints = false } = options;
  const workers = await Array.fromAsync(glob("packages/*/src/*-worker.ts", { cwd: root }));
  const define = { K3S_BUILD: JSON.stringify({ release, commit }), K3S_FAILPOINTS: String(failpoints) };
  const results = await Promise.all([
    build({
      ...{ ...COMMON, absWorkingDir: root, define, entryNames: "[name]", outdir: out },
      entryPoints: ["cmd/k3s/src/main.ts", ...workers.sort()],
      plugins: [separateLibraries],
    }),
    build({
      ...{ ...COMMON, absWorkingDir: root, outfile: join(out, LIBRARIES_ASSET), plugins: [libraryOwners(root)] },
      stdin: { contents: librariesSource, resolveDir: join(root, "build"), sourcefile: LIBRARIES_ASSET },
    }),
  ]);
  const scripts = new Map<string, string>();
  for (const { path, contents } of results.flatMap(({ outputFiles }) => outputFiles)) {
    const name = path.slice(out.length + 1).replace(/^main\.js$/, "main.cjs");
    await writeFileAtomic(join(out, name), contents, { mode: 0o644 });
    scripts.set(name, join(out, name));
  }
  const main = scripts.get("main.cjs") ?? "";
  scripts.delete("main.cjs");
  return { main, scripts, inputs: [...new Set(results.flatMap(inputsOf))].sort() };
}

function inputsOf({ metafile }: BuildResult<typeof COMMON>): readonly string[] {
  return Object.values(metafile.outputs).flatMap(({ inputs }) => Object.keys(inputs));
}
