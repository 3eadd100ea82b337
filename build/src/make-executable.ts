import { execFile } from "node:child_process";
import { chmod, copyFile, mkdtemp, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { inject } from "postject";

export interface ExecutableOptions {
  /** A Node without symbols: they cannot be removed afterwards. */
  readonly node: string;
  /** A CommonJS script. */
  readonly main: string;
  /** Files inside, by the name under which node:sea finds them. */
  readonly assets: ReadonlyMap<string, string>;
  /** Of V8, for a start in half the time; only where `node` is for this machine's processor. */
  readonly useCodeCache: boolean;
  /** Replaced as a whole. */
  readonly output: string;
}

/** For Node and V8, see ARCHITECTURE.md. Neither variables nor arguments of the caller can add to them. */
const NODE_OPTIONS = [
  "--max-semi-space-size=8", // the young generation: larger ones cost memory that an idle node never gives back, smaller ones time under load
  "--heap-growing-percent=25", // garbage beside live objects; V8 alone lets more than as much lie about
  "--disable-sigusr1", // else SIGUSR1 opens the inspector in a root daemon
  "--no-warnings",
];
/** Where Node notes that something was added; written in two parts, so that it is in no file by itself. */
const FUSE = ["NODE_SEA_FUSE", "fce680ab2cc467b6e072b8b5df1996b2"].join("_");

/**
 * Makes one executable of Node, a script and assets, as of nodejs.org/api/single-executable-applications.html. The same input makes
 * the same bytes wherever it lies.
 */
export async function makeExecutable(options: ExecutableOptions): Promise<void> {
  const folder = await mkdtemp(`${options.output}.tmp-`);
  try {
    const blob = await makeBlob(options, folder);
    const executable = join(folder, "k3s");
    await copyFile(options.node, executable);
    await withoutWarnings(() => inject(executable, "NODE_SEA_BLOB", blob, { sentinelFuse: FUSE }));
    await chmod(executable, 0o755);
    await rename(executable, options.output);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** What is added to Node. Made by the pinned Node that runs the build: format and code cache are those of its very version. */
async function makeBlob({ main, assets, useCodeCache }: ExecutableOptions, folder: string): Promise<Buffer> {
  const config = {
    main: "k3s.cjs", // this path becomes part of it
    output: "blob",
    disableExperimentalSEAWarning: true,
    useSnapshot: false,
    useCodeCache,
    execArgv: NODE_OPTIONS,
    execArgvExtension: "none",
    assets: Object.fromEntries([...assets].sort(([a], [b]) => (a < b ? -1 : 1))),
  };
  await copyFile(main, join(folder, config.main));
  await writeFile(join(folder, "config.json"), JSON.stringify(config));
  // The code cache holds hashes of texts, which V8 salts at random; the seed is not one of the flags that it has to be used with.
  const args = ["--random-seed=1", "--experimental-sea-config", "config.json"];
  await promisify(execFile)(process.execPath, args, { cwd: folder });
  return readFile(join(folder, config.output));
}

/** The injector says that it cannot name sections of a file without symbols, on stderr and without a way to turn it off. */
async function withoutWarnings(work: () => Promise<void>): Promise<void> {
  const write = process.stderr.write.bind(process.stderr);
  process.stderr.write = () => true;
  try {
    await work();
  } finally {
    process.stderr.write = write;
  }
}
