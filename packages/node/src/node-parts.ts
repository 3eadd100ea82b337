import type { ComponentSet, ComponentSource } from "@k3s/components";
import type { NodeConfig } from "@k3s/config";
import type { Logger } from "@k3s/log";
import type { Component } from "@k3s/lifecycle";
import type { RecordsPlace } from "@k3s/process";

/** What a node takes from the outside world besides its configuration. */
export interface NodeHost {
  readonly log: Logger;
  /** Where the upstream programs are. */
  readonly components: ComponentSource;
  /** Our own executable, which is also a CNI plugin. */
  readonly executable: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** What we were started with, for the record on the Node: command, settings of files, arguments; secrets are masked. */
  readonly args: readonly string[];
}

/** What a node must know of its cluster; the servers decide it. */
export interface ClusterNetwork {
  /** The more important family first, as everywhere. */
  readonly clusterCidr: readonly string[];
  readonly serviceCidr: readonly string[];
  readonly clusterDns: readonly string[];
  readonly clusterDomain: string;
  readonly flannelBackend: string;
  /** Whether nodes reach each other at their external addresses. */
  readonly flannelExternalIp: boolean;
  /** What servers reach through the tunnels of nodes: `cluster` and `pod` are more than kubelets. */
  readonly egressSelectorMode: string;
  readonly disableKubeProxy: boolean;
  readonly disableCloudController: boolean;
  readonly disableServiceLb: boolean;
}

/** What a node is made from. */
export interface NodeParts {
  readonly config: NodeConfig;
  readonly cluster: ClusterNetwork;
  readonly host: NodeHost;
  readonly set: ComponentSet;
  /** Environment of the supervised programs. */
  readonly env: Readonly<Record<string, string>>;
  readonly records: RecordsPlace;
  /** Where programs of the node reach kube-apiserver. */
  readonly apiServer: { readonly server: string; readonly caFile: string };
  /** Brings the node's certificates and kubeconfigs to disk. */
  readonly identity: Component;
}
