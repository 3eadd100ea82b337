import { endianness } from "node:os";
import { parseAddress, type NodeConfig, type ServerConfig } from "@k3s/config";
import { PreflightError, type PortOwner } from "../errors.ts";
import { findOwner, readListeners, type Listener } from "./listeners.ts";

/** A port that a node will listen on. */
export interface NeededPort {
  readonly port: number;
  readonly purpose: string;
  /** The flag of ours that moves it; without one an argument of the component does. */
  readonly flag?: string;
  /** Only this address will be used; undefined: every address. */
  readonly address: string | undefined;
}

/** Ports of a server that follow from its configuration. A port that an argument of its component moves is not ours to judge. */
export function serverPorts(config: ServerConfig): readonly NeededPort[] {
  const loopback = config.loopbackAddress;
  const flag = "--https-listen-port";
  const own = [
    { port: config.httpsListenPort, purpose: "the Kubernetes API", flag, address: config.bindAddress },
    { port: config.apiserverPort, purpose: "kube-apiserver", flag, address: loopback },
    ...unlessMoved(config.kubeControllerManagerArg, "secure-port", {
      port: 10_257,
      purpose: "kube-controller-manager",
      address: loopback,
    }),
  ];
  const scheduler = config.disableScheduler
    ? []
    : unlessMoved(config.kubeSchedulerArg, "secure-port", {
        port: 10_259,
        purpose: "kube-scheduler",
        address: loopback,
      });
  return [...own, ...scheduler, ...(config.disableAgent ? [] : agentPorts(config))];
}

/** The same for the programs of a node. */
export function agentPorts(
  config: Pick<NodeConfig, "loopbackAddress" | "kubeletArg" | "kubeProxyArg"> & { readonly disableKubeProxy: boolean },
): readonly NeededPort[] {
  const loopback = config.loopbackAddress;
  const kubelet = [
    ...unlessMoved(config.kubeletArg, "port", { port: 10_250, purpose: "the kubelet", address: undefined }),
    ...unlessMoved(config.kubeletArg, "healthz-port", { port: 10_248, purpose: "the kubelet", address: loopback }),
  ];
  const runtime = [...kubelet, { port: 10_010, purpose: "containerd", address: "127.0.0.1" }];
  if (config.disableKubeProxy) return runtime;
  const proxy = config.kubeProxyArg;
  return [
    ...runtime,
    ...unlessMoved(proxy, "metrics-bind-address", { port: 10_249, purpose: "kube-proxy", address: loopback }),
    ...unlessMoved(proxy, "healthz-bind-address", { port: 10_256, purpose: "kube-proxy", address: loopback }),
  ];
}

function unlessMoved(args: readonly string[], name: string, port: NeededPort): readonly NeededPort[] {
  const isMoved = args.some((argument) => argument.startsWith(`${name}=`) || argument.startsWith("config="));
  return isMoved ? [] : [port];
}

/** A needed port, and the process that listens on it. */
export interface PortUse extends NeededPort {
  readonly isTaken: boolean;
  /** Undefined: free, or taken by a process that cannot be seen from here. */
  readonly owner: PortOwner | undefined;
}

/** Who listens on the ports, in their order; of several listeners on a port the first that `isOurs` does not hold for. */
export async function findPortUses(
  needed: readonly NeededPort[],
  isOurs: (pid: number) => Promise<boolean>,
): Promise<PortUse[]> {
  const listeners = await readListeners();
  return await Promise.all(
    needed.map(async (port) => {
      const uses = listeners.filter((candidate) => candidate.port === port.port && collides(candidate, port.address));
      let use: PortUse = { ...port, isTaken: uses.length > 0, owner: undefined };
      for (const { inode } of uses) {
        use = { ...use, owner: await findOwner(inode) };
        if (use.owner === undefined || !(await isOurs(use.owner.pid))) break;
      }
      return use;
    }),
  );
}

/**
 * Rejects with PreflightError when a port is taken. Processes for which `isOurs` holds are children that an earlier
 * k3s left behind; they are ended before anything starts, so their ports count as free.
 */
export async function checkPorts(
  needed: readonly NeededPort[],
  isOurs: (pid: number) => Promise<boolean>,
): Promise<void> {
  for (const { port, purpose, flag, isTaken, owner } of await findPortUses(needed, isOurs))
    if (isTaken && (owner === undefined || !(await isOurs(owner.pid))))
      throw PreflightError.portTaken(port, { purpose, flag, owner });
}

/** Two sockets of one port collide when one of them takes every address, or both take the same. */
function collides({ rawAddress }: Listener, address: string | undefined): boolean {
  if (address === undefined || address === "0.0.0.0" || address === "::" || /^0+$/.test(rawAddress)) return true;
  return rawForms(address).includes(rawAddress);
}

/** Addresses as /proc/net/tcp spells them; an IPv4 address may also be listened on through an IPv6 socket. */
function rawForms(text: string): readonly string[] {
  const address = parseAddress(text);
  if (address === undefined) return [];
  const hex = address.value.toString(16).padStart(address.family === 4 ? 8 : 32, "0");
  const words = (hex.match(/.{8}/g) ?? []).map(toHostOrder);
  const mapped = ["0".repeat(16), toHostOrder("0000ffff"), ...words].join("");
  return address.family === 4 ? [...words, mapped] : [words.join("")];
}

/** The kernel prints each 32-bit word of an address as a number of the machine. */
function toHostOrder(word: string): string {
  const bytes = Buffer.from(word, "hex");
  return (endianness() === "LE" ? bytes.reverse() : bytes).toString("hex").toUpperCase();
}
