import { access, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { makeDirectory, writeFileAtomic } from "@k3s/files";
import type { PrivateApt } from "./apt.ts";
import { KUBERNETES_PROGRAMS } from "./component-set.ts";
import type { DebianRecipe } from "./debian-recipe.ts";
import { findKubernetesSource, KubernetesTree, MODULE, treeKey } from "./kubernetes-tree.ts";
import { inStep } from "./progress.ts";
import type { SourceContext } from "./source-context.ts";
import { hashFile } from "./verify.ts";

const GENERATED = "pkg/generated/openapi/zz_generated.openapi.go";
const SUMS = "SHA256SUMS";

export interface KubernetesBuildOptions {
  readonly apt: PrivateApt;
  readonly recipe: DebianRecipe;
}

/**
 * Compiles Kubernetes from Debian's source package with Debian's Go, neither of them installed, and returns the folder with
 * the programs. It is kept in the cache under source, compiler and recipe; an interrupted build goes on where it stopped.
 */
export async function buildKubernetes(
  { apt, recipe }: KubernetesBuildOptions,
  context: SourceContext,
): Promise<string> {
  const source = await findKubernetesSource(apt, recipe);
  const key = treeKey(source, recipe);
  const result = builtKubernetes(key, context);
  if (await isKubernetesBuilt(result)) return result;
  await using tree = await KubernetesTree.open(key, recipe, context);
  if (await isKubernetesBuilt(result)) return result; // by the one that was waited for
  const build = new Build(tree, recipe, context);
  await tree.fetch(apt, source);
  await build.generateOpenApi();
  await build.compile();
  await build.publish(result);
  return result;
}

/** Where the programs of a tree are kept. */
export function builtKubernetes(key: string, { cacheDir }: Pick<SourceContext, "cacheDir">): string {
  return join(cacheDir, "kubernetes", key);
}

/** Whether the folder holds every program as it was compiled. */
export async function isKubernetesBuilt(folder: string): Promise<boolean> {
  const sums = await readFile(join(folder, SUMS), "utf8").catch(() => "");
  const lines = sums.split("\n").filter((line) => line !== "");
  if (lines.length !== KUBERNETES_PROGRAMS.length) return false;
  for (const line of lines) {
    const [digest = "", name = ""] = line.split("  ");
    if ((await hashFile(join(folder, name)).catch(() => "")) !== digest) return false;
  }
  return true;
}

class Build {
  readonly #tree: KubernetesTree;
  readonly #recipe: DebianRecipe;
  readonly #context: SourceContext;

  constructor(tree: KubernetesTree, recipe: DebianRecipe, context: SourceContext) {
    this.#tree = tree;
    this.#recipe = recipe;
    this.#context = context;
  }

  /** kube-apiserver needs one generated file, which the source package leaves to its own build. */
  async generateOpenApi(): Promise<void> {
    const isThere = await access(join(this.#tree.path, GENERATED)).then(
      () => true,
      () => false,
    );
    if (isThere) return;
    await inStep(this.#context.progress, "Generate API definitions", async () => {
      const tool = join(this.#tree.work, "openapi-gen");
      await this.#tree.go(
        ["build", "-o", tool, `${MODULE}/vendor/k8s.io/kube-openapi/cmd/openapi-gen`],
        "compile openapi-gen",
      );
      await this.#runOpenApiGen(tool, await findTaggedPackages(this.#tree.path));
    });
  }

  async #runOpenApiGen(tool: string, packages: readonly string[]): Promise<void> {
    const base = join(this.#tree.work, "generated");
    const header = join(this.#tree.work, "header.txt");
    await writeFile(header, "");
    const argv = [
      tool,
      ...["--go-header-file", header, "--output-base", base, "--output-file-base", "zz_generated.openapi"],
      ...[
        "--output-package",
        `${MODULE}/pkg/generated/openapi`,
        "--report-filename",
        join(this.#tree.work, "report.txt"),
      ],
      ...["--input-dirs", packages.join(",")],
    ] as const;
    await this.#tree.run([argv[0], ...argv.slice(1)], "generate API definitions", this.#tree.path);
    await rename(join(base, MODULE, GENERATED), join(this.#tree.path, GENERATED));
  }

  /** All programs in one call, which shares the packages and links two at a time. Finished packages survive an interruption. */
  async compile(): Promise<void> {
    const { progress } = this.#context;
    const step = `Compile Kubernetes ${this.#recipe.kubernetes.version}`;
    progress({ step });
    const targets = KUBERNETES_PROGRAMS.map((name) => `${MODULE}/cmd/${name}`);
    const listed = await this.#tree.go(["list", "-deps", ...targets], "list the packages of Kubernetes");
    const total = listed.split("\n").length - 1;
    let done = 0;
    const onLine = (line: string) => {
      if (/^[\w.-]+(\/[\w.-]+)*$/.test(line))
        progress({ step, done: Math.min(++done, total), total, unit: "packages" });
    };
    const out = join(this.#tree.work, "out");
    await makeDirectory(out);
    const argv = ["build", "-v", "-trimpath", "-ldflags", linkerFlags(this.#recipe), "-o", out, ...targets];
    await this.#tree.go(argv, "compile Kubernetes", onLine);
    progress({ step, done: total, total, unit: "packages", finished: true });
  }

  /** Moves the programs to their place in the cache, whole, and gives back the space of the build. */
  async publish(result: string): Promise<void> {
    const out = join(this.#tree.work, "out");
    const sums = await Promise.all(
      KUBERNETES_PROGRAMS.map(async (name) => `${await hashFile(join(out, name))}  ${name}\n`),
    );
    await writeFileAtomic(join(out, SUMS), sums.join(""), { mode: 0o644 });
    await makeDirectory(join(result, ".."));
    await rm(result, { recursive: true, force: true });
    await rename(out, result);
    await this.#tree.remove();
  }
}

function linkerFlags({ kubernetes: { version, gitCommit, buildDate } }: DebianRecipe): string {
  const [major = "", minor = ""] = version.split(".");
  const values = {
    gitVersion: `v${version}`,
    gitMajor: major,
    gitMinor: minor,
    gitTreeState: "clean",
    gitCommit,
    buildDate,
  };
  const packages = ["component-base/version", "client-go/pkg/version"].map((name) => `${MODULE}/vendor/k8s.io/${name}`);
  const settings = packages.flatMap((name) =>
    Object.entries(values).map(([key, value]) => `-X ${name}.${key}=${value}`),
  );
  return ["-s", "-w", ...settings].join(" ");
}

const TAGGED_ROOTS = [
  { folder: "pkg", prefix: `${MODULE}/pkg` },
  { folder: "staging/src/k8s.io", prefix: `${MODULE}/vendor/k8s.io` },
  { folder: "vendor/k8s.io/kube-openapi", prefix: `${MODULE}/vendor/k8s.io/kube-openapi` },
];

/** Import paths of every package that asks for API definitions with the tag `+k8s:openapi-gen=`. */
async function findTaggedPackages(tree: string): Promise<readonly string[]> {
  const found = new Set<string>();
  for (const { folder, prefix } of TAGGED_ROOTS) {
    const root = join(tree, folder);
    for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
      if (!entry.isFile() || !entry.name.endsWith(".go")) continue;
      const path = `${prefix}${entry.parentPath.slice(root.length)}`;
      if (found.has(path)) continue;
      if ((await readFile(join(entry.parentPath, entry.name), "utf8")).includes("+k8s:openapi-gen=")) found.add(path);
    }
  }
  return [...found].sort();
}
