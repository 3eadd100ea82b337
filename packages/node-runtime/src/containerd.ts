import { ensureDirectory, writeFileAtomic } from "@k3s/files";
import { SupervisedChild, type ChildCommand } from "@k3s/process";
import { containerdConfig, containerdConfigVersion } from "./containerd-config.ts";
import { renderConfig } from "./containerd-template.ts";
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
      const configVersion = await writeContainerdFiles(options);
      return containerdCommand(options, { file, configVersion });
    },
    isReady: async (signal) => {
      await criVersion(paths.containerdSocket, signal);
    },
    killGraceMs: KILL_GRACE_MS,
    oomScoreAdj: OOM_SCORE,
    rawOutput: { path: paths.containerdLog, echo: options.debug ? "debug" : "warn" },
    ...(options.records === undefined ? {} : { records: options.records }),
  });
}

/** Command line and environment of containerd. */
export function containerdCommand(
  options: Pick<NodeRuntimeOptions, "agentDirectory" | "stateDirectory" | "env" | "path">,
  { file, configVersion }: { readonly file: string; readonly configVersion: 2 | 3 },
): ChildCommand {
  const paths = nodePaths(options);
  const { own, rest } = splitEnvironment(options.env);
  const level = own.get("LOG_LEVEL");
  own.delete("LOG_LEVEL");
  const places = ["-a", paths.containerdSocket, "--state", paths.containerdState, "--root", paths.containerdRoot];
  return {
    file,
    args: [
      ...["-c", paths.containerdConfig],
      ...(configVersion === 2 ? places : []),
      ...(level === undefined ? [] : ["--log-level", level]),
    ],
    env: { ...rest, ...Object.fromEntries(own), PATH: options.path },
  };
}

/** Returns the version of the configuration that was written. */
async function writeContainerdFiles(options: NodeRuntimeOptions): Promise<2 | 3> {
  const paths = nodePaths(options);
  await ensureDirectory(paths.containerdRoot, 0o700);
  await ensureDirectory(`${paths.containerdEtc}/certs.d`, 0o700);
  await ensureDirectory(paths.containerdState, 0o711);
  const newest = containerdConfigVersion(options.set.versions.containerd.major);
  const base = { ...options, cniBinDirectory: options.set.cniBinDir };
  const { version, text } = await renderConfig(paths.containerdEtc, newest, (wanted) => containerdConfig(base, wanted));
  await writeFileAtomic(paths.containerdConfig, text, { mode: 0o644 });
  const crictl = `runtime-endpoint: unix://${paths.containerdSocket}\n`;
  await writeFileAtomic(paths.crictlConfig, crictl, { mode: 0o600 });
  return version;
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
