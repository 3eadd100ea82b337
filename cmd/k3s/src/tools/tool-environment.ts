import { constants } from "node:fs";
import { access, stat } from "node:fs/promises";
import { join } from "node:path";

/** The bundled programs that can be run under their own names. */
export const TOOLS = ["kubectl", "ctr", "crictl"] as const;
export type Tool = (typeof TOOLS)[number];

type Environment = Readonly<Record<string, string | undefined>>;

/** What is set for a tool unless the caller has set it, and what to tell the caller. */
export interface ToolPresets {
  readonly env: Environment;
  readonly hint?: string;
}

/** How a tool was called. */
export interface ToolCall {
  readonly args: readonly string[];
  readonly env: Environment;
  /** Where a server writes its kubeconfig; the default is that of `--write-kubeconfig`. */
  readonly systemKubeconfig?: string;
}

const KUBECONFIG = "/etc/rancher/k3s/k3s.yaml";
const SYSTEM_DATA_DIR = "/var/lib/rancher/k3s";

/** Points a tool to the node on this machine, unless arguments or variables already say where to go. */
export async function toolPresets(tool: Tool, { args, env, systemKubeconfig }: ToolCall): Promise<ToolPresets> {
  switch (tool) {
    case "kubectl":
      return args.some((arg) => /^--kubeconfig(=|$)/.test(arg)) || isSet(env["KUBECONFIG"])
        ? { env: {} }
        : kubeconfig(env, systemKubeconfig ?? KUBECONFIG);
    case "ctr":
      return { env: containerdVariables(env) };
    case "crictl":
      return { env: await crictlVariables(env) };
  }
}

async function kubeconfig(env: Environment, systemPath: string): Promise<ToolPresets> {
  const candidates = [systemPath, ...(isSet(env["HOME"]) ? [join(env["HOME"], ".kube/k3s.yaml")] : [])];
  const path = await firstFile(candidates);
  if (path === undefined) return { env: {} };
  const isReadable = await access(path, constants.R_OK).then(
    () => true,
    () => false,
  );
  const hint = `Unable to read ${path}, start the server with --write-kubeconfig-mode or --write-kubeconfig-group to change who may`;
  return { env: { KUBECONFIG: path }, ...(isReadable ? {} : { hint }) };
}

function containerdVariables(env: Environment): Environment {
  return {
    ...(isSet(env["CONTAINERD_ADDRESS"]) ? {} : { CONTAINERD_ADDRESS: "/run/k3s/containerd/containerd.sock" }),
    ...(isSet(env["CONTAINERD_NAMESPACE"]) ? {} : { CONTAINERD_NAMESPACE: "k8s.io" }),
  };
}

async function crictlVariables(env: Environment): Promise<Environment> {
  if (isSet(env["CRI_CONFIG_FILE"])) return {};
  const dataDirs = [env["K3S_DATA_DIR"], isSet(env["HOME"]) ? join(env["HOME"], ".rancher/k3s") : "", SYSTEM_DATA_DIR];
  const files = dataDirs.filter(isSet).map((dataDir) => join(dataDir, "agent/etc/crictl.yaml"));
  const path = await firstFile([...files, "/etc/crictl.yaml"]);
  return path === undefined ? {} : { CRI_CONFIG_FILE: path };
}

async function firstFile(candidates: readonly string[]): Promise<string | undefined> {
  for (const path of candidates) {
    const found = await stat(path).catch(() => undefined);
    if (found?.isFile() === true) return path;
  }
  return undefined;
}

function isSet(text: string | undefined): text is string {
  return text !== undefined && text !== "";
}
