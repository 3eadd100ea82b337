import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import type { Manifest } from "@k3s/components";
import type { ProgramPart } from "./build-program.ts";
import type { NpmPackage } from "./npm-packages.ts";

/** One file inside the executable. */
export interface ContainedFile {
  readonly path: string;
  readonly size: number;
  readonly sha256: string;
  readonly source: string;
  readonly version?: string;
}

/** Everything inside: parts of the program, then the upstream programs. */
export async function containedFiles(
  parts: readonly ProgramPart[],
  manifest: Manifest,
): Promise<readonly ContainedFile[]> {
  const own = parts.map(async ({ name, path, source, version }): Promise<ContainedFile> => {
    const { size } = await stat(path);
    return { path: `program/${name}`, size, sha256: await fileDigest(path), source, ...optional({ version }) };
  });
  const components = manifest.files.map(({ path, size, sha256, source, version }): ContainedFile => {
    return { path, size, sha256, source, ...optional({ version }) };
  });
  return [...(await Promise.all(own)), ...components];
}

/** SHA-256 of a file as hex. */
export async function fileDigest(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash);
  return hash.digest("hex");
}

export interface BillOptions {
  readonly version: string;
  readonly files: readonly ContainedFile[];
  readonly libraries: readonly NpmPackage[];
  /** Of the Debian release that packages came from, for their addresses. */
  readonly distribution: string;
}

/** A CycloneDX bill of materials, https://cyclonedx.org/docs/1.6/json/; without times, so that equal builds have equal ones. */
export function billOfMaterials({ version, files, libraries, distribution }: BillOptions): object {
  return {
    bomFormat: "CycloneDX",
    specVersion: "1.6",
    version: 1,
    metadata: { component: { type: "application", name: "k3s", version, "bom-ref": "k3s" } },
    components: [
      ...libraries.map((library) => ({
        type: "library",
        name: library.name,
        version: library.version,
        "bom-ref": `pkg:npm/${library.name.replace("@", "%40")}@${library.version}`,
        purl: `pkg:npm/${library.name.replace("@", "%40")}@${library.version}`,
        licenses: [{ expression: library.license }],
      })),
      ...files.map((file) => ({
        type: "file",
        name: file.path,
        "bom-ref": `file:${file.path}`,
        ...optional({ version: file.version, purl: packageUrl(file, distribution) }),
        hashes: [{ alg: "SHA-256", content: file.sha256 }],
        properties: [{ name: "k3s:source", value: file.source }],
      })),
    ],
  };
}

/** https://github.com/package-url/purl-spec; undefined for what no package or release stands behind. */
function packageUrl({ source, version }: ContainedFile, distribution: string): string | undefined {
  if (version === undefined) return undefined;
  const [, kind, name = ""] = /^(Debian|npm) package (\S+)$/.exec(source) ?? [];
  if (kind === "npm") return `pkg:npm/${name}@${version}`;
  if (kind === "Debian") return `pkg:deb/debian/${name}@${encodeURIComponent(version)}?distro=${distribution}`;
  return source.startsWith("https://") ? `pkg:generic/${encodeURIComponent(source)}@${version}` : undefined;
}

function optional<Key extends string>(fields: Readonly<Record<Key, string | undefined>>): Partial<Record<Key, string>> {
  const present = Object.entries(fields).filter(([, value]) => value !== undefined);
  return Object.fromEntries(present) as Partial<Record<Key, string>>; // sound: only undefined values went
}
