import { readdir, readlink } from "node:fs/promises";
import { readText } from "./read-file.ts";

export interface RunningProcess {
  readonly pid: number;
  /** As the kernel keeps it: at most 15 characters. */
  readonly name: string;
}

/** Every process that can be seen from here. */
export async function listProcesses(): Promise<RunningProcess[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(
    pids.map(async (pid) => ({ pid: Number(pid), name: await readText(`/proc/${pid}/comm`) })),
  );
  return found.flatMap(({ pid, name }) => (name === undefined ? [] : [{ pid, name }]));
}

/** Programs that make a machine a Kubernetes node, by the names of their processes. */
const RIVALS = new Set([
  ...["kubelet", "kube-apiserver", "kube-proxy", "kubelite"],
  ...["k3s", "k3s server", "k3s agent", "k3s-server", "k3s-agent", "rke2", "rke2 server", "rke2 agent", "k0s"],
]);

/** Those that would fight with a node for the machine; one in a container with a network of its own does not. */
export async function findRivals(processes: readonly RunningProcess[]): Promise<RunningProcess[]> {
  const ownNetwork = await readlink("/proc/self/ns/net");
  const candidates = processes.filter(({ name }) => RIVALS.has(name));
  const networks = await Promise.all(
    candidates.map(({ pid }) => readlink(`/proc/${pid}/ns/net`).catch(() => undefined)),
  );
  return candidates.filter((_, index) => networks[index] === undefined || networks[index] === ownNetwork);
}
