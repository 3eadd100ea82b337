/** Where kube-apiserver finds its store. */
interface EtcdEndpoint {
  /** Comma list as the flag takes it; a relative `unix://` address starts at the server folder. */
  readonly servers: string;
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string };
}

/** What the three programs of the control plane have to know. Plain values: nothing is read from elsewhere. */
export interface ControlPlaneOptions {
  /** Version of the programs as they report it, such as `v1.20.2`. */
  readonly kubernetesVersion: string;
  /** `<data dir>/server`: holds tls, cred and etc, and is the working folder of the children. */
  readonly serverDirectory: string;
  readonly loopback: "127.0.0.1" | "::1";
  /** Where kube-apiserver listens, when that is not the loopback address. */
  readonly apiserverBindAddress?: string;
  /** Port of kube-apiserver itself, normally the public one + 1. */
  readonly apiserverPort: number;
  /** Port of the supervisor's listener, through which kube-apiserver reaches nodes unless egress is disabled. */
  readonly httpsPort: number;
  readonly advertiseAddress?: string;
  readonly clusterCidrs: readonly string[];
  readonly serviceCidrs: readonly string[];
  readonly serviceNodePortRange: string;
  readonly clusterDomain: string;
  readonly etcd: EtcdEndpoint;
  /** True while only this server can write to the datastore: then nobody stands for election. */
  readonly singleServerDatastore: boolean;
  /** True when node addresses and taints are looked after by our own node controller. */
  readonly cloudController: boolean;
  readonly egressMode: "disabled" | "agent" | "cluster" | "pod";
  readonly preferExternalKubeletAddress: boolean;
  readonly secretsEncryption: boolean;
  /** klog level for every child; 0 says nothing. */
  readonly verbosity: number;
  readonly vmodule: string;
  readonly apiserverArgs: readonly string[];
  readonly controllerManagerArgs: readonly string[];
  readonly schedulerArgs: readonly string[];
}

/** `-v` and `--vmodule`, which every program of Kubernetes takes. */
export function loggingFlags(options: {
  readonly verbosity: number;
  readonly vmodule: string;
}): Record<string, string> {
  return {
    ...(options.verbosity === 0 ? {} : { v: String(options.verbosity) }),
    ...(options.vmodule === "" ? {} : { vmodule: options.vmodule }),
  };
}
