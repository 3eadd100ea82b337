import { createHash } from "node:crypto";
import { access, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { availableParallelism, freemem } from "node:os";
import { join } from "node:path";
import { makeDirectory, writeFileAtomic } from "@k3s/files";
import type { PrivateApt, SourcePackage } from "./apt.ts";
import { KUBERNETES_PROGRAMS } from "./component-set.ts";
import type { DebianRecipe } from "./debian-recipe.ts";
import { ComponentError } from "./errors.ts";
import { mendKubernetes } from "./kubernetes-mends.ts";
import { inStep } from "./progress.ts";
import { runCommand } from "./run-command.ts";
import type { SourceContext } from "./source-context.ts";
import { hashFile } from "./verify.ts";

const MODULE = "k8s.io/kubernetes";
const GENERATED = "pkg/generated/openapi/zz_generated.openapi.go";
const SUMS = "SHA256SUMS";
// The linker of kube-apiserver alone needs about this much.
const BYTES_PER_JOB = 2 * 1024 ** 3;

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
  const source = await apt.showSource("kubernetes");
  if (!source.version.includes(recipe.kubernetes.version))
    throw ComponentError.build(
      "compile Kubernetes",
      `the archive has version ${source.version}, not ${recipe.kubernetes.version}`,
    );
  const key = buildKey(source, recipe);
  const result = join(context.cacheDir, "kubernetes", key);
  if (await isIntact(result)) return result;
  const build = new Build(join(context.cacheDir, "work", key), recipe, context);
  await build.fetch(apt, source);
  await build.generateOpenApi();
  await build.compile();
  await build.publish(result);
  return result;
}

function buildKey(source: SourcePackage, recipe: DebianRecipe): string {
  const parts = [source.version, ...[...source.files].flat(), ...recipe.go.packages, `recipe ${recipe.revision}`];
  const digest = createHash("sha256").update(parts.join("\n")).digest("hex").slice(0, 12);
  return `${recipe.kubernetes.version}-${digest}`;
}

async function isIntact(folder: string): Promise<boolean> {
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
  readonly #work: string;
  readonly #recipe: DebianRecipe;
  readonly #context: SourceContext;
  readonly #tree: string;

  constructor(work: string, recipe: DebianRecipe, context: SourceContext) {
    this.#work = work;
    this.#recipe = recipe;
    this.#context = context;
    this.#tree = join(work, "gopath/src", MODULE);
  }

  /** Compiler and source tree; each appears under its name only when whole. */
  async fetch(apt: PrivateApt, source: SourcePackage): Promise<void> {
    const { packages } = this.#recipe.go;
    await this.#once("go", async (folder) => {
      const debs = await apt.downloadPackages(packages, join(this.#work, "debs"), "Download the Go compiler");
      for (const { path } of debs) await this.#run(["dpkg-deb", "-x", path, folder], "unpack the Go compiler");
    });
    await this.#once(join("gopath/src", MODULE), async (folder) => {
      const tarball = await apt.downloadSourceTree("kubernetes", source, join(this.#work, "source"));
      const argv = ["tar", "-xf", tarball, "-C", folder, "--strip-components=1"] as const;
      await inStep(this.#context.progress, "Unpack source of kubernetes", () => this.#run(argv, "unpack the source"));
      await mendKubernetes(folder);
    });
    await access(join(this.#tree, "cmd/kube-apiserver")).catch(() => {
      throw ComponentError.build("compile Kubernetes", "this suite's source package lacks kube-apiserver");
    });
  }

  /** kube-apiserver needs one generated file, which the source package leaves to its own build. */
  async generateOpenApi(): Promise<void> {
    const isThere = await access(join(this.#tree, GENERATED)).then(
      () => true,
      () => false,
    );
    if (isThere) return;
    await inStep(this.#context.progress, "Generate API definitions", async () => {
      const tool = join(this.#work, "openapi-gen");
      await this.#go(
        ["build", "-o", tool, `${MODULE}/vendor/k8s.io/kube-openapi/cmd/openapi-gen`],
        "compile openapi-gen",
      );
      await this.#runOpenApiGen(tool, await findTaggedPackages(this.#tree));
    });
  }

  async #runOpenApiGen(tool: string, packages: readonly string[]): Promise<void> {
    const base = join(this.#work, "generated");
    const header = join(this.#work, "header.txt");
    await writeFile(header, "");
    const argv = [
      tool,
      ...["--go-header-file", header, "--output-base", base, "--output-file-base", "zz_generated.openapi"],
      ...["--output-package", `${MODULE}/pkg/generated/openapi`, "--report-filename", join(this.#work, "report.txt")],
      ...["--input-dirs", packages.join(",")],
    ] as const;
    await this.#run([argv[0], ...argv.slice(1)], "generate API definitions", this.#tree);
    await rename(join(base, MODULE, GENERATED), join(this.#tree, GENERATED));
  }

  /** All programs in one call, which shares the packages and links two at a time. Finished packages survive an interruption. */
  async compile(): Promise<void> {
    const { progress } = this.#context;
    const step = `Compile Kubernetes ${this.#recipe.kubernetes.version}`;
    progress({ step });
    const targets = KUBERNETES_PROGRAMS.map((name) => `${MODULE}/cmd/${name}`);
    const listed = await this.#go(["list", "-deps", ...targets], "list the packages of Kubernetes");
    const total = listed.split("\n").length - 1;
    let done = 0;
    const onLine = (line: string) => {
      if (/^[\w.-]+(\/[\w.-]+)*$/.test(line))
        progress({ step, done: Math.min(++done, total), total, unit: "packages" });
    };
    const out = join(this.#work, "out");
    await makeDirectory(out);
    const argv = ["build", "-v", "-trimpath", "-ldflags", linkerFlags(this.#recipe), "-o", out, ...targets];
    await this.#go(argv, "compile Kubernetes", onLine);
    progress({ step, done: total, total, unit: "packages", finished: true });
  }

  /** Moves the programs to their place in the cache, whole, and gives back the space of the build. */
  async publish(result: string): Promise<void> {
    const out = join(this.#work, "out");
    const sums = await Promise.all(
      KUBERNETES_PROGRAMS.map(async (name) => `${await hashFile(join(out, name))}  ${name}\n`),
    );
    await writeFileAtomic(join(out, SUMS), sums.join(""), { mode: 0o644 });
    await makeDirectory(join(result, ".."));
    await rm(result, { recursive: true, force: true });
    await rename(out, result);
    await rm(this.#work, { recursive: true, force: true });
  }

  async #once(name: string, fill: (folder: string) => Promise<void>): Promise<void> {
    const final = join(this.#work, name);
    const isThere = await access(final).then(
      () => true,
      () => false,
    );
    if (isThere) return;
    const temporary = join(this.#work, `${name.replaceAll("/", "-")}.tmp`);
    await rm(temporary, { recursive: true, force: true });
    await makeDirectory(temporary);
    await fill(temporary);
    await makeDirectory(join(final, ".."));
    await rename(temporary, final);
  }

  async #go(args: readonly string[], purpose: string, onLine?: (line: string) => void): Promise<string> {
    const goRoot = join(this.#work, "go", this.#recipe.go.root);
    const temporary = join(this.#work, "tmp");
    await makeDirectory(temporary);
    const jobs = Math.max(1, Math.min(availableParallelism(), Math.floor(freemem() / BYTES_PER_JOB)));
    const env = {
      ...this.#context.environment,
      GOROOT: goRoot,
      GOPATH: join(this.#work, "gopath"),
      GOCACHE: join(this.#work, "gocache"),
      GOTMPDIR: temporary,
      GO111MODULE: "off",
      CGO_ENABLED: "0",
      GOFLAGS: `-p=${jobs}`,
      GOENV: "off",
    };
    const options = { purpose, cwd: this.#tree, env, signal: this.#context.signal };
    return runCommand([join(goRoot, "bin/go"), ...args], onLine === undefined ? options : { ...options, onLine });
  }

  async #run(argv: readonly [string, ...string[]], purpose: string, cwd?: string): Promise<string> {
    const gopath = join(this.#work, "gopath");
    const goRoot = join(this.#work, "go", this.#recipe.go.root);
    const { PATH: path = "/usr/bin:/bin", ...rest } = this.#context.environment;
    const env = {
      ...rest,
      GOPATH: gopath,
      GOROOT: goRoot,
      GO111MODULE: "off",
      GOCACHE: join(this.#work, "gocache"),
      PATH: `${join(goRoot, "bin")}:${path}`,
    };
    return runCommand(argv, { purpose, env, signal: this.#context.signal, ...(cwd === undefined ? {} : { cwd }) });
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
