import { createHash } from "node:crypto";
import { writeFileAtomic } from "@k3s/files";
import { hostArchitecture } from "./architecture.ts";
import { formatTar, type TarEntry } from "./tar-archive.ts";

/** What a container of the image runs with; names follow the OCI image configuration. */
interface ImageConfig {
  readonly entrypoint?: readonly string[];
  readonly command?: readonly string[];
  /** `NAME=value` each. */
  readonly environment?: readonly string[];
  /** `uid[:gid]`; absent: root. */
  readonly user?: string;
  readonly workingDirectory?: string;
}

export interface ImageContent {
  /** Full references, e.g. `docker.io/rancher/mirrored-pause:3.10.2`. */
  readonly tags: readonly string[];
  /** Files of the only layer, in this order; folders on their paths are added. Paths are relative to the root. */
  readonly entries: readonly TarEntry[];
  readonly config: ImageConfig;
  /** GOARCH spelling. Default: what this machine is. */
  readonly architecture?: string;
}

/** Writes one image as an archive that `ctr images import` and `docker load` take. The same content gives the same bytes. */
export async function writeImageArchive(path: string, content: ImageContent): Promise<void> {
  await writeFileAtomic(path, formatImageArchive(content), { mode: 0o644 });
}

/** The archive itself: `manifest.json`, the image configuration and `layer.tar` (docker-save layout). */
function formatImageArchive(content: ImageContent): Buffer {
  const layer = formatTar(withFolders(content.entries));
  const config = Buffer.from(JSON.stringify(imageConfig(content, sha256(layer))));
  const configName = `${sha256(config)}.json`;
  const manifest = [{ Config: configName, RepoTags: content.tags, Layers: ["layer.tar"] }];
  return formatTar([
    { type: "file", path: "manifest.json", mode: 0o644, data: Buffer.from(JSON.stringify(manifest)) },
    { type: "file", path: configName, mode: 0o644, data: config },
    { type: "file", path: "layer.tar", mode: 0o644, data: layer },
  ]);
}

function imageConfig({ config, architecture = hostArchitecture() }: ImageContent, layerDigest: string): object {
  return {
    architecture,
    os: "linux",
    created: "1970-01-01T00:00:00Z",
    config: {
      ...(config.entrypoint === undefined ? {} : { Entrypoint: config.entrypoint }),
      ...(config.command === undefined ? {} : { Cmd: config.command }),
      ...(config.user === undefined ? {} : { User: config.user }),
      ...(config.workingDirectory === undefined ? {} : { WorkingDir: config.workingDirectory }),
      Env: config.environment ?? ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
    },
    rootfs: { type: "layers", diff_ids: [`sha256:${layerDigest}`] },
    history: [{ created: "1970-01-01T00:00:00Z" }],
  };
}

function withFolders(entries: readonly TarEntry[]): TarEntry[] {
  const known = new Set(entries.filter((entry) => entry.type === "directory").map((entry) => entry.path));
  return entries.flatMap((entry) => {
    const parents = parentsOf(entry.path).filter((path) => !known.has(path));
    for (const path of parents) known.add(path);
    return [...parents.map((path): TarEntry => ({ type: "directory", path, mode: 0o755 })), entry];
  });
}

function parentsOf(path: string): string[] {
  const steps = path.split("/").slice(0, -1);
  return steps.map((_, index) => steps.slice(0, index + 1).join("/"));
}

function sha256(data: Uint8Array): string {
  return createHash("sha256").update(data).digest("hex");
}
