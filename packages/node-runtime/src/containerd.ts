import type { ComponentVersions } from "@k3s/components";
import { ensureDirectory, writeFileAtomic } from "@k3s/files";
import { SupervisedChild, type ChildCommand } from "@k3s/process";
import { containerdConfig, containerdConfigVersion } from "./containerd-config.ts";
import { criVersion } from "./cri-version.ts";
import { nodePaths, type NodeRuntimeOptions } from "./node-runtime-options.ts";

/** k3s prefixes variables that are meant for containerd alone. */
const PREFIX = "CONTAINERD_";
/** containerd's share of what the kubelet and it need to end pods in order; its shims go on without it. */
const KILL_GRACE_MS = 10_000;
const OOM_SCORE = -999;

/** containerd with a configuration written anew before each start; ready when CRI answers. Its shims and pods outlive it. */
export function containerd(options: NodeRuntimeOptions): SupervisedChild {
  const paths = nodePaths(options);
  const file = options.set.path("containerd");
  return new SupervisedChild({
    name: "containerd",
    log: options.log,
    executable: file,
    command: async () => {
      await writeContainerdFiles(options);
      return containerdCommand(options, file);
    },
    isReady: async (signal) => {
      await criVersion(paths.containerdSocket, signal);
    },
    killGraceMs: KILL_GRACE_MS,
    oomScoreAdj: OOM_SCORE,
    rawOutput: { path: paths.containerdLog, echo: options.debug },
    ...(options.records === undefined ? {} : { records: options.records }),
  });
}

type CommandOptions = Pick<NodeRuntimeOptions, "agentDirectory" | "stateDirectory" | "env" | "path"> & {
  readonly set: { readonly versions: Pick<ComponentVersions, "containerd"> };
};

/** Command line and environment of containerd. */
export function containerdCommand(options: CommandOptions, file: string): ChildCommand {
  const paths = nodePaths(options);
  const { own, rest } = splitEnvironment(options.env);
  const level = own.get("LOG_LEVEL");
  own.delete("LOG_LEVEL");
  const places = ["-a", paths.containerdSocket, "--state", paths.containerdState, "--root", paths.containerdRoot];
  return {
    file,
    args: [
      ...["-c", paths.containerdConfig],
      ...(containerdConfigVersion(options.set.versions.containerd.major) === 2 ? places : []),
      ...(level === undefined ? [] : ["--log-level", level]),
    ],
    env: { ...rest, ...Object.fromEntries(own), PATH: options.path },
  };
}

async function writeContainerdFiles(options: NodeRuntimeOptions): Promise<void> {
  const paths = nodePaths(options);
  const version = containerdConfigVersion(options.set.versions.containerd.major);
  await ensureDirectory(paths.containerdRoot, 0o700);
  await ensureDirectory(`${paths.containerdEtc}/certs.d`, 0o700);
  await ensureDirectory(paths.containerdState, 0o711);
  const config = containerdConfig({ ...options, cniBinDirectory: options.set.cniBinDir }, version);
  await writeFileAtomic(paths.containerdConfig, config, { mode: 0o644 });
  const crictl = `runtime-endpoint: unix://${paths.containerdSocket}\n`;
  await writeFileAtomic(paths.crictlConfig, crictl, { mode: 0o600 });
}

function splitEnvironment(env: Readonly<Record<string, string>>) {
  const own = new Map<string, string>();
  const rest: Record<string, string> = {};
  for (const [name, value] of Object.entries(env)) {
    if (name.startsWith(PREFIX)) own.set(name.slice(PREFIX.length), value);
    else rest[name] = value;
  }
  return { own, rest };
}
