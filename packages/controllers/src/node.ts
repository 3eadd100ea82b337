import type { KubeObject } from "@k3s/kube-client";

export interface NodeAddress {
  readonly type: "InternalIP" | "ExternalIP" | "InternalDNS" | "ExternalDNS" | "Hostname";
  readonly address: string;
}

interface Taint {
  readonly key: string;
  readonly value?: string;
  readonly effect: string;
}

/** What our controllers read of a v1 Node. */
export interface Node extends KubeObject {
  readonly spec: { readonly providerID?: string; readonly taints?: readonly Taint[] };
  readonly status?: { readonly addresses?: readonly NodeAddress[] };
}

/** The annotations by which a node tells the cloud controller its addresses (k3s' names). */
export const ADDRESS_ANNOTATIONS = {
  internalIp: "k3s.io/internal-ip",
  externalIp: "k3s.io/external-ip",
  internalDns: "k3s.io/internal-dns",
  externalDns: "k3s.io/external-dns",
  hostname: "k3s.io/hostname",
} as const;

/** The taint a kubelet with an external cloud provider registers with (k8s.io/cloud-provider/api). */
export const UNINITIALIZED_TAINT = "node.cloudprovider.kubernetes.io/uninitialized";
