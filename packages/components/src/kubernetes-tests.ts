import { createHash } from "node:crypto";
import { access, readdir, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { makeDirectory } from "@k3s/files";
import { PrivateApt } from "./apt.ts";
import { findDebianSuite } from "./debian-suite.ts";
import { ComponentError } from "./errors.ts";
import { builtKubernetes, isKubernetesBuilt } from "./kubernetes-build.ts";
import { findKubernetesSource, KubernetesTree, MODULE, treeKey } from "./kubernetes-tree.ts";
import { inStep } from "./progress.ts";
import type { SourceContext } from "./source-context.ts";

/** Tests that kube-apiserver's authors wrote for their client of etcd. */
const TESTED = `${MODULE}/vendor/k8s.io/apiserver/pkg/storage/etcd3`;
/** The package through which they start an etcd of their own, and what takes its place. */
const CLUSTER_PACKAGE = "vendor/go.etcd.io/etcd/integration";
const STAND_IN = join(import.meta.dirname, "../go-tests/integration.go");

const PROGRAM = "storage-etcd3-tests";

/**
 * A folder with the program `storage-etcd3-tests`: Kubernetes' own tests of its storage on etcd, compiled as they are. They use the
 * server that ETCD_TEST_ENDPOINT names, which has to be empty for each. Kept in the cache. What is compiled on the way serves the build of Kubernetes, and the other way round.
 * Rejects with ComponentError, also on a machine that is no Debian of a known suite.
 */
export async function provideStorageTests(context: SourceContext): Promise<string> {
  const suite = await findDebianSuite();
  const what = "compile the tests of Kubernetes";
  if (suite === undefined) throw ComponentError.build(what, "this machine is no Debian of a known suite");
  const { recipe, codename } = suite;
  const parts = [codename, recipe.kubernetes.version, ...recipe.go.packages, await readFile(STAND_IN, "utf8")];
  const digest = createHash("sha256").update(parts.join("\n")).digest("hex").slice(0, 12);
  const folder = join(context.cacheDir, "kubernetes-tests", `${recipe.kubernetes.version}-${digest}`);
  if (await isThere(join(folder, PROGRAM))) return folder;
  await makeDirectory(folder);
  const apt = await PrivateApt.open(join(context.cacheDir, "debian", codename, "apt"), codename, context);
  const source = await findKubernetesSource(apt, recipe);
  const key = treeKey(source, recipe);
  await using tree = await KubernetesTree.open(key, recipe, context);
  await tree.fetch(apt, source);
  const compiled = await inStep(context.progress, "Compile the storage tests of Kubernetes", () => compile(tree, what));
  await rename(compiled, join(folder, PROGRAM));
  if (await isKubernetesBuilt(builtKubernetes(key, context))) await tree.remove();
  return folder;
}

/** The flags are those of the programs, so that both find the other's packages compiled. */
async function compile(tree: KubernetesTree, purpose: string): Promise<string> {
  const overlay = join(tree.work, "storage-tests-overlay.json");
  const output = join(tree.work, PROGRAM);
  await writeFile(overlay, JSON.stringify({ Replace: await replacements(join(tree.path, CLUSTER_PACKAGE)) }));
  // The overlay is unknown to vet, which go test runs by itself otherwise.
  const flags = ["-c", "-vet=off", "-trimpath", "-ldflags", "-s -w", "-overlay", overlay];
  await tree.go(["test", ...flags, "-o", output, TESTED], purpose);
  return output;
}

/** In the form of Go's -overlay: an empty path takes a file away. */
async function replacements(folder: string): Promise<Readonly<Record<string, string>>> {
  const files = (await readdir(folder)).filter((name) => name.endsWith(".go"));
  return Object.fromEntries(files.map((name) => [join(folder, name), name === "cluster.go" ? STAND_IN : ""]));
}

async function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
