import { createHash } from "node:crypto";
import { join } from "node:path";
import { readIfExists } from "@k3s/files";
import type { Architecture } from "./architecture.ts";
import { ComponentError } from "./errors.ts";
import type { ComponentVersions } from "./version.ts";

/** Name of the list at the top of a component folder. */
export const MANIFEST_NAME = "components.json";

/** One regular file of a component folder. */
export interface ManifestFile {
  /** Relative to the folder, e.g. `bin/kubelet`. */
  readonly path: string;
  readonly size: number;
  readonly mode: number;
  readonly sha256: string;
  /** When this size and time are still those of the file, its checksum is not computed again. */
  readonly mtimeMs: number;
  /** Program version, where one is known. */
  readonly version?: string;
  /** Address, package or folder that the file came from. */
  readonly source: string;
}

/** One symbolic link of a component folder; targets are relative. */
export interface ManifestLink {
  readonly path: string;
  readonly target: string;
}

/** The content of `components.json`. */
export interface Manifest {
  readonly format: 1;
  readonly architecture: Architecture;
  readonly versions: ComponentVersions;
  readonly files: readonly ManifestFile[];
  readonly links: readonly ManifestLink[];
}

/** Names the content of a set: 64 hex digits that change with any path, mode, link or byte, and with nothing else. */
export function manifestDigest(manifest: Manifest): string {
  const lines = [
    `architecture ${manifest.architecture}`,
    ...manifest.files.map((file) => `file ${file.mode.toString(8)} ${file.sha256} ${file.path}`),
    ...manifest.links.map((link) => `link ${link.target} ${link.path}`),
  ];
  return createHash("sha256").update(lines.sort().join("\n")).digest("hex");
}

/** Rejects with ERR_COMPONENT_MISSING without a list, ERR_COMPONENT_MANIFEST when it cannot be used. */
export async function loadManifest(folder: string): Promise<Manifest> {
  const path = join(folder, MANIFEST_NAME);
  const text = await readIfExists(path);
  if (text === undefined) throw ComponentError.missing([MANIFEST_NAME], folder);
  let value: unknown;
  try {
    value = JSON.parse(text.toString());
  } catch (error) {
    throw ComponentError.manifest(path, error instanceof Error ? error.message : "no JSON");
  }
  return parseManifest(value, path);
}

/** Makes sure that `value`, from `place`, is a list that can be used. Throws ERR_COMPONENT_MANIFEST. */
export function parseManifest(value: unknown, place: string): Manifest {
  if (!isManifest(value)) throw ComponentError.manifest(place, "not of format 1");
  const outside = [...value.files, ...value.links].find((entry) => !isInside(entry.path));
  if (outside !== undefined) throw ComponentError.manifest(place, `path "${outside.path}" leaves the folder`);
  return value;
}

function isInside(path: string): boolean {
  return !path.startsWith("/") && !path.split("/").some((step) => step === "" || step === "." || step === "..");
}

function isManifest(value: unknown): value is Manifest {
  return (
    isRecord(value) &&
    value["format"] === 1 &&
    typeof value["architecture"] === "string" &&
    isRecord(value["versions"]) &&
    isRecord(value["versions"]["kubernetes"]) &&
    Array.isArray(value["files"]) &&
    value["files"].every(isFile) &&
    Array.isArray(value["links"]) &&
    value["links"].every(isLink)
  );
}

function isFile(value: unknown): boolean {
  return (
    isRecord(value) &&
    ["path", "sha256", "source"].every((key) => typeof value[key] === "string") &&
    ["size", "mode", "mtimeMs"].every((key) => typeof value[key] === "number")
  );
}

function isLink(value: unknown): boolean {
  return isRecord(value) && typeof value["path"] === "string" && typeof value["target"] === "string";
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
