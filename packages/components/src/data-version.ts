import { access } from "node:fs/promises";
import { join } from "node:path";
import { readIfExists, writeFileAtomic } from "@k3s/files";
import { elfArchitecture } from "./architecture.ts";
import { ComponentError } from "./errors.ts";
import type { Manifest } from "./manifest.ts";
import { compareVersions, parseVersion } from "./version.ts";

/** Who used the data directory last. The original product writes no such file, and ignores it. */
interface DataVersion {
  readonly architecture: string;
  readonly kubernetes: string;
}

const fileName = (dataDir: string) => join(dataDir, "data/.version");

/** Throws when the data directory belongs to another architecture or to a newer minor version of Kubernetes. */
export async function assertDataVersion(dataDir: string, manifest: Manifest): Promise<void> {
  const recorded = await loadDataVersion(dataDir);
  const architecture = recorded?.architecture ?? (await unpackedArchitecture(dataDir));
  if (architecture !== undefined && architecture !== manifest.architecture)
    throw ComponentError.architecture(dataDir, architecture, manifest.architecture);
  const theirs = recorded === undefined ? undefined : parseVersion(recorded.kubernetes);
  const ours = manifest.versions.kubernetes;
  if (theirs !== undefined && compareVersions({ ...theirs, patch: 0 }, { ...ours, patch: 0 }) > 0)
    throw ComponentError.newerData(dataDir, theirs.text, ours.text);
}

/** Remembers this version as the last user of the data directory. */
export async function recordDataVersion(dataDir: string, manifest: Manifest): Promise<void> {
  const version: DataVersion = { architecture: manifest.architecture, kubernetes: manifest.versions.kubernetes.text };
  await writeFileAtomic(fileName(dataDir), `${JSON.stringify(version)}\n`, { mode: 0o644 });
}

async function loadDataVersion(dataDir: string): Promise<DataVersion | undefined> {
  const text = await readIfExists(fileName(dataDir));
  if (text === undefined) return undefined;
  try {
    const value = JSON.parse(text.toString()) as Partial<Record<string, unknown>> | null;
    const { architecture, kubernetes } = value ?? {};
    return typeof architecture === "string" && typeof kubernetes === "string"
      ? { architecture, kubernetes }
      : undefined;
  } catch {
    return undefined; // damaged: as good as absent, since it only guards against mistakes
  }
}

/** Reads it from a program that is unpacked there: the only trace in a directory of the original product. */
async function unpackedArchitecture(dataDir: string): Promise<string | undefined> {
  for (const name of ["containerd", "k3s"]) {
    const path = join(dataDir, "data/current/bin", name);
    const isThere = await access(path).then(
      () => true,
      () => false,
    );
    if (isThere) return elfArchitecture(path);
  }
  return undefined;
}
