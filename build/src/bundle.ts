import { glob } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "@k3s/files";
import { build, type Metafile } from "esbuild";

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
  /** By the names under which they are started. */
  readonly workers: ReadonlyMap<string, string>;
  /** Every source file that is part of it, relative to the root. */
  readonly inputs: readonly string[];
}

/** Bundles the product for the pinned Node, as the scripts that a single executable can start. */
export async function bundleProduct(options: BundleOptions): Promise<Bundle> {
  const { root, out, release, commit, failpoints = false } = options;
  const workers = await Array.fromAsync(glob("packages/*/src/*-worker.ts", { cwd: root }));
  const result = await build({
    absWorkingDir: root,
    entryPoints: ["cmd/k3s/src/main.ts", ...workers.sort()],
    entryNames: "[name]",
    outdir: out,
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
    define: { K3S_BUILD: JSON.stringify({ release, commit }), K3S_FAILPOINTS: String(failpoints) },
    logOverride: { "empty-import-meta": "silent" }, // a module inside an executable has no address, and asks for none
    logLevel: "warning",
  });
  const paths = new Map<string, string>();
  for (const { path, contents } of result.outputFiles) {
    const name = path.slice(out.length + 1).replace(/^main\.js$/, "main.cjs");
    await writeFileAtomic(join(out, name), contents, { mode: 0o644 });
    paths.set(name, join(out, name));
  }
  const main = paths.get("main.cjs") ?? "";
  paths.delete("main.cjs");
  return { main, workers: paths, inputs: inputsOf(result.metafile) };
}

function inputsOf({ outputs }: Metafile): readonly string[] {
  return [...new Set(Object.values(outputs).flatMap(({ inputs }) => Object.keys(inputs)))].sort();
}
