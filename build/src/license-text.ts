import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Manifest } from "@k3s/components";
import type { NpmPackage } from "./npm-packages.ts";

export interface LicenseSources {
  /** Of this product. */
  readonly own: string;
  /** The package of the pinned Node, whose text names everything that Node itself contains. */
  readonly node: NpmPackage;
  readonly libraries: readonly NpmPackage[];
  /** A component folder and its list. Undefined: no upstream program is inside. */
  readonly upstream: Upstream | undefined;
}

interface Upstream {
  readonly components: string;
  readonly manifest: Manifest;
}

/** Name of the text inside the executable. */
export const LICENSES = "licenses.txt";

const RULE = "=".repeat(100);

/** Where a project publishes its source, and with it the licences of what is compiled into its programs. */
const PROJECTS: readonly (readonly [paths: RegExp, name: string, repository: string])[] = [
  [/^bin\/kube/, "Kubernetes", "kubernetes/kubernetes"],
  [/^bin\/(containerd|ctr)/, "containerd", "containerd/containerd"],
  [/^bin\/runc$/, "runc", "opencontainers/runc"],
  [/^bin\/cni\//, "CNI plugins", "containernetworking/plugins"],
  [/^bin\/etcd/, "etcd", "etcd-io/etcd"],
  [/^bin\/crictl$/, "crictl", "kubernetes-sigs/cri-tools"],
];

/** The licences of everything inside the executable, as one text. The same content makes the same text. */
export async function licenseText({ own, node, libraries, upstream }: LicenseSources): Promise<string> {
  const sections = [
    section("k3s", "Apache-2.0", [own]),
    section(`Node.js ${node.version}`, "MIT, and those of its parts", node.texts),
    ...libraries.map(({ name, version, license, texts }) => section(`${name} ${version}`, license, texts)),
    ...(upstream === undefined ? [] : PROJECTS.flatMap((project) => projectSection(project, upstream.manifest))),
    ...(upstream === undefined ? [] : await packageSections(upstream.components)),
  ];
  return sections.join("\n");
}

function section(title: string, license: string, texts: readonly string[]): string {
  return [RULE, `${title}: ${license}`, RULE, "", ...texts.map((text) => `${text.trim()}\n`)].join("\n");
}

/** Programs whose own text is not at hand: each of these projects is under the Apache License 2.0, which stands above. */
function projectSection([paths, name, repository]: (typeof PROJECTS)[number], { files }: Manifest): readonly string[] {
  const found = files.filter(({ path }) => paths.test(path));
  if (found.length === 0) return [];
  const versions = [...new Set(found.flatMap(({ version }) => version ?? []))].join(", ");
  const programs = found.map(({ path }) => path.replace(/^bin\//, "")).join(", ");
  const texts =
    "Licences of the libraries in these programs: with the packages below where they come from packages, and with the source";
  const text = `Programs: ${programs}\n${texts}\nSource: https://github.com/${repository}`;
  return [section(`${name} ${versions}`.trim(), "Apache-2.0", [text])];
}

/** Texts that came with packages of a distribution. */
async function packageSections(components: string): Promise<readonly string[]> {
  const folder = join(components, "licenses");
  const names = await readdir(folder).catch(() => []);
  const texts = names.sort().map(async (name) => {
    const text = await readFile(join(folder, name), "utf8");
    return section(`Package ${name}`, "see the text", [text]);
  });
  return Promise.all(texts);
}
