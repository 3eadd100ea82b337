import { isDnsName } from "./parsers.ts";

/** A label to set when the node registers. */
export interface NodeLabel {
  readonly key: string;
  readonly value: string;
}

const EFFECTS = ["NoSchedule", "PreferNoSchedule", "NoExecute"] as const;

/** A taint to set when the node registers for the first time. */
export interface NodeTaint {
  readonly key: string;
  readonly value: string;
  readonly effect: (typeof EFFECTS)[number];
}

// The names in the reserved domains that a kubelet may set on itself; it refuses to start with any other
// (Kubernetes, pkg/kubelet/apis/well_known_labels.go).
const KUBELET_LABELS = new Set([
  "kubernetes.io/hostname",
  "kubernetes.io/arch",
  "kubernetes.io/os",
  "beta.kubernetes.io/arch",
  "beta.kubernetes.io/os",
  "beta.kubernetes.io/instance-type",
  "node.kubernetes.io/instance-type",
  "topology.kubernetes.io/zone",
  "topology.kubernetes.io/region",
  "failure-domain.beta.kubernetes.io/zone",
  "failure-domain.beta.kubernetes.io/region",
]);

/** Reads `key=value`. Throws RangeError when the kubelet would refuse it. */
export function parseNodeLabel(text: string): NodeLabel {
  const [key = "", ...rest] = text.split("=");
  const value = rest.join("=");
  if (rest.length === 0 || !isQualifiedName(key) || !isLabelValue(value)) {
    throw new RangeError(`must be a label such as tier=front: current value is "${text}"`);
  }
  if (isReserved(key)) {
    throw new RangeError(`must not set "${key}": a kubelet may not set labels of kubernetes.io or k8s.io on itself`);
  }
  return { key, value };
}

/** Reads `key=value:effect` or `key:effect`. Throws RangeError otherwise. */
export function parseNodeTaint(text: string): NodeTaint {
  const match = /^([^=:]+)(?:=([^:]*))?:([A-Za-z]+)$/.exec(text);
  const [, key = "", value = "", word] = match ?? [];
  const effect = EFFECTS.find((name) => name === word);
  if (effect === undefined || !isQualifiedName(key) || !isLabelValue(value)) {
    throw new RangeError(
      `must be a taint such as key=value:NoSchedule (${EFFECTS.join(", ")}): current value is "${text}"`,
    );
  }
  return { key, value, effect };
}

function isQualifiedName(text: string): boolean {
  const slash = text.indexOf("/");
  const prefix = text.slice(0, Math.max(slash, 0));
  return (slash === -1 || isDnsName(prefix)) && isName(text.slice(slash + 1));
}

function isLabelValue(text: string): boolean {
  return text === "" || isName(text);
}

function isName(text: string): boolean {
  return /^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$/.test(text);
}

function isReserved(key: string): boolean {
  const domain = key.slice(0, Math.max(key.indexOf("/"), 0));
  if (!isBelow(domain, "kubernetes.io") && !isBelow(domain, "k8s.io")) return false;
  const isOwn = isBelow(domain, "kubelet.kubernetes.io") || isBelow(domain, "node.kubernetes.io");
  return !isOwn && !KUBELET_LABELS.has(key);
}

function isBelow(domain: string, parent: string): boolean {
  return domain === parent || domain.endsWith(`.${parent}`);
}
