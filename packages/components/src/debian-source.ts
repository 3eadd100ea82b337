import { chmod, copyFile, cp, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { makeDirectory } from "@k3s/files";
import { PrivateApt, type BinaryPackage } from "./apt.ts";
import { stageAuxTools } from "./aux-tools.ts";
import { KUBERNETES_PROGRAMS } from "./component-set.ts";
import { createSet, type Origin } from "./create-set.ts";
import { filesOfPackages, stageLicenses } from "./debian-contents.ts";
import { unpackPackages } from "./debian-packages.ts";
import type { DebianRecipe } from "./debian-recipe.ts";
import type { DebianSuite } from "./debian-suite.ts";
import { ComponentError } from "./errors.ts";
import { buildKubernetes } from "./kubernetes-build.ts";
import { stagePause } from "./pause-image.ts";
import { inStep } from "./progress.ts";
import type { SourceContext } from "./source-context.ts";

/** Fills the empty folder `staging` from the machine's package archive and makes a component folder of it. */
export async function stageDebian(staging: string, suite: DebianSuite, context: SourceContext): Promise<void> {
  const { codename, recipe } = suite;
  const folder = join(context.cacheDir, "debian", codename);
  const apt = await PrivateApt.open(join(folder, "apt"), codename, context);
  const names = [...recipe.packages, ...recipe.libraryPackages];
  const packages = await apt.downloadPackages(names, join(folder, "packages"), "Download packages");
  const licensing = await apt.downloadPackages(
    recipe.licensePackages,
    join(folder, "packages"),
    "Download packages for their licences",
  );
  const programs = await buildKubernetes({ apt, recipe }, context);
  await inStep(context.progress, "Put the component folder together", async () => {
    const root = join(staging, "packages.tmp");
    await unpackPackages(packages, root, context);
    await stagePrograms(staging, { root, programs, recipe });
    await stageAuxTools({ root, aux: join(staging, "bin/aux"), tools: recipe.tools }, context);
    await stageLicenses(staging, root, names);
    await rm(root, { recursive: true });
    await unpackPackages(licensing, root, context);
    await stageLicenses(staging, root, recipe.licensePackages);
    await rm(root, { recursive: true });
    await stagePause(staging, context);
    const owners = await filesOfPackages(packages, context);
    const known = [...packages, ...licensing];
    await createSet({
      folder: staging,
      cniVersion: upstreamVersion(packages, "containernetworking-plugins"),
      originOf: (path) => originOf(path, recipe, { packages: known, owners }),
    });
  });
}

interface ProgramFolders {
  /** What the packages contain. */
  readonly root: string;
  /** The compiled programs of Kubernetes. */
  readonly programs: string;
  readonly recipe: DebianRecipe;
}

async function stagePrograms(staging: string, { root, programs, recipe }: ProgramFolders): Promise<void> {
  const bin = join(staging, "bin");
  await makeDirectory(bin);
  for (const name of KUBERNETES_PROGRAMS) await copyFile(join(programs, name), join(bin, name));
  for (const [packaged, place] of Object.entries(recipe.programs)) {
    const target = join(bin, place);
    await makeDirectory(dirname(target));
    await cp(join(root, packaged), target, { recursive: true, dereference: true });
    if (!(await stat(target)).isDirectory()) await chmod(target, 0o755);
  }
}

interface Packaged {
  readonly packages: readonly BinaryPackage[];
  /** By base name of a file. */
  readonly owners: ReadonlyMap<string, BinaryPackage>;
}

function originOf(path: string, recipe: DebianRecipe, { packages, owners }: Packaged): Origin {
  const name = path.replace(/^bin\//, "");
  if (KUBERNETES_PROGRAMS.some((program) => program === name))
    return { source: "compiled from Debian source package kubernetes", version: recipe.kubernetes.version };
  const owner = OWNERS.find(([pattern]) => pattern.test(path))?.[1] ?? /^licenses\/(.+)$/.exec(path)?.[1];
  const found =
    packages.find((entry) => entry.name === owner) ??
    (path.startsWith("bin/aux/lib/") ? owners.get(basename(path)) : undefined);
  return found === undefined
    ? { source: path.startsWith("images/") || path.endsWith("aux-run") ? "built here" : "Debian packages" }
    : { source: `Debian package ${found.name}`, version: found.version };
}

const OWNERS: readonly (readonly [RegExp, string])[] = [
  [/^bin\/(containerd|ctr)/, "containerd"],
  [/^bin\/runc$/, "runc"],
  [/^bin\/etcd$/, "etcd-server"],
  [/^bin\/etcdctl$/, "etcd-client"],
  [/^bin\/cni\//, "containernetworking-plugins"],
  [/^bin\/aux\/busybox$/, "busybox-static"],
  [/^bin\/aux\/(libexec\/xtables-|lib\/xtables\/)/, "iptables"],
  [/^bin\/aux\/libexec\/ipset$/, "ipset"],
  [/^bin\/aux\/libexec\/conntrack$/, "conntrack"],
  [/^bin\/aux\/libexec\/socat$/, "socat"],
  [/^bin\/aux\/libexec\/ethtool$/, "ethtool"],
];

/** A package's version without epoch, repacking mark and Debian revision: what upstream calls it. */
function upstreamVersion(packages: readonly BinaryPackage[], name: string): string {
  const version = packages.find((entry) => entry.name === name)?.version;
  if (version === undefined) throw ComponentError.build("find the version of the CNI plugins", `no package ${name}`);
  return version.replace(/^\d+:/, "").replace(/[-+~].*$/, "");
}
