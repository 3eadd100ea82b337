import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

/** A library of which something is in the bundle. */
export interface NpmPackage {
  readonly name: string;
  readonly version: string;
  /** As the package says it, an SPDX expression as a rule. */
  readonly license: string;
  /** What lies in the package under a name such as LICENSE or NOTICE. */
  readonly texts: readonly string[];
}

const FOLDER = /^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//;
const LICENSE_FILE = /^(licen[cs]e|copying|notice)(\.|-|$)/i;

/** The packages that source files of a bundle belong to, by name and version. */
export async function npmPackages(root: string, inputs: readonly string[]): Promise<readonly NpmPackage[]> {
  const folders = new Set(inputs.map((path) => FOLDER.exec(path)?.[1]).filter((folder) => folder !== undefined));
  const found = await Promise.all([...folders].map((folder) => readPackage(join(root, folder))));
  const byId = new Map(found.map((entry) => [`${entry.name}@${entry.version}`, entry]));
  return [...byId.keys()].sort().flatMap((id) => byId.get(id) ?? []);
}

/** Reads what a package says of itself. */
export async function readPackage(folder: string): Promise<NpmPackage> {
  const text = await readFile(join(folder, "package.json"), "utf8");
  const { name, version, license } = JSON.parse(text) as Readonly<Record<"name" | "version" | "license", string>>;
  const files = (await readdir(folder)).filter((file) => LICENSE_FILE.test(file)).sort();
  const texts = await Promise.all(files.map((file) => readFile(join(folder, file), "utf8")));
  return { name, version, license: license ?? "see the text", texts };
}
