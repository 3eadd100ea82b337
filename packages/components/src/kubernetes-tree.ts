import { createHash } from "node:crypto";
import { access, rename, rm } from "node:fs/promises";
import { availableParallelism, freemem } from "node:os";
import { join } from "node:path";
import { makeDirectory, type Lock } from "@k3s/files";
import type { PrivateApt, SourcePackage } from "./apt.ts";
import type { DebianRecipe } from "./debian-recipe.ts";
import { ComponentError } from "./errors.ts";
import { mendKubernetes } from "./kubernetes-mends.ts";
import { inStep } from "./progress.ts";
import { runCommand } from "./run-command.ts";
import type { SourceContext } from "./source-context.ts";
import { waitForLock } from "./wait-for-lock.ts";

/** Import path of Kubernetes. */
export const MODULE = "k8s.io/kubernetes";

// The linker of kube-apiserver alone needs about this much.
const BYTES_PER_JOB = 2 * 1024 ** 3;
const LOCK_WAIT_MS = 60 * 60_000;

/** What the archive has as Debian's source package. Rejects when it is not the version the recipe is for. */
export async function findKubernetesSource(apt: PrivateApt, recipe: DebianRecipe): Promise<SourcePackage> {
  const source = await apt.showSource("kubernetes");
  if (source.version.includes(recipe.kubernetes.version)) return source;
  throw ComponentError.build(
    "compile Kubernetes",
    `the archive has version ${source.version}, not ${recipe.kubernetes.version}`,
  );
}

/** Names a tree with all that goes into it, and into what is compiled from it. */
export function treeKey(source: SourcePackage, recipe: DebianRecipe): string {
  const parts = [
    source.version,
    ...[...source.files].flat(),
    ...recipe.go.packages,
    `recipe ${recipe.kubernetes.revision}`,
  ];
  const digest = createHash("sha256").update(parts.join("\n")).digest("hex").slice(0, 12);
  return `${recipe.kubernetes.version}-${digest}`;
}

/**
 * The source tree of Kubernetes beside a compiler, neither of them installed, in a folder of the cache that only one process uses
 * at a time. What was compiled in it survives an interruption.
 */
export class KubernetesTree implements AsyncDisposable {
  /** Folder for everything that is made on the way. */
  readonly work: string;
  /** Where the sources lie. */
  readonly path: string;
  readonly #recipe: DebianRecipe;
  readonly #context: SourceContext;
  readonly #lock: Lock;

  private constructor(work: string, recipe: DebianRecipe, { context, lock }: TreeSurroundings) {
    this.work = work;
    this.path = join(work, "gopath/src", MODULE);
    this.#recipe = recipe;
    this.#context = context;
    this.#lock = lock;
  }

  /** Waits until nobody else uses the tree. */
  static async open(key: string, recipe: DebianRecipe, context: SourceContext): Promise<KubernetesTree> {
    const work = join(context.cacheDir, "work", key);
    await makeDirectory(join(work, ".."));
    const lock = await waitForLock(`${work}.lock`, {
      limitMs: LOCK_WAIT_MS,
      onWait: (owner) =>
        context.progress({ step: "Wait for another build", note: `process ${owner} compiles Kubernetes` }),
      signal: context.signal,
    });
    return new KubernetesTree(work, recipe, { context, lock });
  }

  /** Compiler and source tree; each appears under its name only when whole. */
  async fetch(apt: PrivateApt, source: SourcePackage): Promise<void> {
    const { packages } = this.#recipe.go;
    await this.#once("go", async (folder) => {
      const debs = await apt.downloadPackages(packages, join(this.work, "debs"), "Download the Go compiler");
      for (const { path } of debs) await this.run(["dpkg-deb", "-x", path, folder], "unpack the Go compiler");
    });
    await this.#once(join("gopath/src", MODULE), async (folder) => {
      const tarball = await apt.downloadSourceTree("kubernetes", source, join(this.work, "source"));
      const argv = ["tar", "-xf", tarball, "-C", folder, "--strip-components=1"] as const;
      await inStep(this.#context.progress, "Unpack source of kubernetes", () => this.run(argv, "unpack the source"));
      await mendKubernetes(folder);
    });
    await access(join(this.path, "cmd/kube-apiserver")).catch(() => {
      throw ComponentError.build("compile Kubernetes", "this suite's source package lacks kube-apiserver");
    });
  }

  /** Runs the compiler in the tree. `purpose` completes "Cannot …". */
  async go(args: readonly string[], purpose: string, onLine?: (line: string) => void): Promise<string> {
    const goRoot = join(this.work, "go", this.#recipe.go.root);
    const temporary = join(this.work, "tmp");
    await makeDirectory(temporary);
    const jobs = Math.max(1, Math.min(availableParallelism(), Math.floor(freemem() / BYTES_PER_JOB)));
    const env = {
      ...this.#context.environment,
      GOROOT: goRoot,
      GOPATH: join(this.work, "gopath"),
      GOCACHE: join(this.work, "gocache"),
      GOTMPDIR: temporary,
      GO111MODULE: "off",
      CGO_ENABLED: "0",
      GOFLAGS: `-p=${jobs}`,
      GOENV: "off",
    };
    const options = { purpose, cwd: this.path, env, signal: this.#context.signal };
    return runCommand([join(goRoot, "bin/go"), ...args], onLine === undefined ? options : { ...options, onLine });
  }

  /** Runs a program with the compiler in its PATH. */
  async run(argv: readonly [string, ...string[]], purpose: string, cwd?: string): Promise<string> {
    const gopath = join(this.work, "gopath");
    const goRoot = join(this.work, "go", this.#recipe.go.root);
    const { PATH: path = "/usr/bin:/bin", ...rest } = this.#context.environment;
    const env = {
      ...rest,
      GOPATH: gopath,
      GOROOT: goRoot,
      GO111MODULE: "off",
      GOCACHE: join(this.work, "gocache"),
      PATH: `${join(goRoot, "bin")}:${path}`,
    };
    return runCommand(argv, { purpose, env, signal: this.#context.signal, ...(cwd === undefined ? {} : { cwd }) });
  }

  /** Gives back the space. The next one to open the tree has to fetch everything again. */
  async remove(): Promise<void> {
    await rm(this.work, { recursive: true, force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#lock[Symbol.asyncDispose]();
  }

  async #once(name: string, fill: (folder: string) => Promise<void>): Promise<void> {
    const final = join(this.work, name);
    const isThere = await access(final).then(
      () => true,
      () => false,
    );
    if (isThere) return;
    const temporary = join(this.work, `${name.replaceAll("/", "-")}.tmp`);
    await rm(temporary, { recursive: true, force: true });
    await makeDirectory(temporary);
    await fill(temporary);
    await makeDirectory(join(final, ".."));
    await rename(temporary, final);
  }
}

interface TreeSurroundings {
  readonly context: SourceContext;
  readonly lock: Lock;
}
