import { join } from "node:path";
import { hostArchitecture } from "./architecture.ts";
import { ComponentError } from "./errors.ts";
import { loadManifest, type Manifest } from "./manifest.ts";
import type { ComponentVersions } from "./version.ts";

/** The programs that come from Kubernetes itself, always of one version. */
export const KUBERNETES_PROGRAMS = [
  "kube-apiserver",
  "kube-controller-manager",
  "kube-scheduler",
  "kubelet",
  "kube-proxy",
  "kubectl",
] as const;

/** Programs without which no node runs. */
export const REQUIRED_PROGRAMS = [
  ...KUBERNETES_PROGRAMS,
  "containerd",
  "containerd-shim-runc-v2",
  "ctr",
  "runc",
] as const;

/** Plugins that the pod network's configuration calls. */
export const REQUIRED_CNI_PLUGINS = ["bridge", "host-local", "loopback", "portmap"] as const;

/** A complete folder of upstream programs, ready to be executed. */
export interface ComponentSet {
  readonly dir: string;
  /** Holds every program; its `aux` folder holds host tools for hosts that lack them. */
  readonly binDir: string;
  /** For the container runtime's `bin_dir`. */
  readonly cniBinDir: string;
  /** Image archives that every node needs, e.g. `pause.tar`. */
  readonly imagesDir: string;
  readonly versions: ComponentVersions;
  has(name: string): boolean;
  /** Absolute path of a program, or of a host tool of `aux`. Throws ERR_COMPONENT_MISSING without it. */
  path(name: string): string;
}

/** Reads a component folder where it is. Its files are not looked at: see unpackComponents and verifyFiles. */
export async function loadComponentSet(dir: string): Promise<ComponentSet> {
  const manifest = await loadManifest(dir);
  assertUsable(manifest, dir);
  return createComponentSet(dir, manifest);
}

/** Throws when programs are missing or made for another processor. */
export function assertUsable(manifest: Manifest, dir: string): void {
  const host = hostArchitecture() ?? process.arch;
  if (manifest.architecture !== host) throw ComponentError.architecture(dir, manifest.architecture, host);
  const paths = new Set([...manifest.files, ...manifest.links].map((entry) => entry.path));
  const wanted = [...REQUIRED_PROGRAMS, ...REQUIRED_CNI_PLUGINS.map((name) => `cni/${name}`)];
  const missing = wanted.filter((name) => !paths.has(`bin/${name}`));
  if (missing.length > 0) throw ComponentError.missing(missing, dir);
}

/** The set that `manifest` describes, below `dir`. `cniBinDir` defaults to the set's own folder of plugins. */
export function createComponentSet(dir: string, manifest: Manifest, cniBinDir?: string): ComponentSet {
  const paths = new Set([...manifest.files, ...manifest.links].map((entry) => entry.path));
  const find = (name: string) => [`bin/${name}`, `bin/aux/${name}`].find((path) => paths.has(path));
  return Object.freeze({
    dir,
    binDir: join(dir, "bin"),
    cniBinDir: cniBinDir ?? join(dir, "bin/cni"),
    imagesDir: join(dir, "images"),
    versions: manifest.versions,
    has: (name: string) => find(name) !== undefined,
    path: (name: string) => {
      const path = find(name);
      if (path === undefined) throw ComponentError.missing([name], dir);
      return join(dir, path);
    },
  });
}
