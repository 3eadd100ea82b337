import type { ServerConfig } from "./server-config.ts";

/** What a node needs of its configuration, whether a server runs beside it or not. */
export type NodeConfig = Pick<
  ServerConfig,
  | "nodeName"
  | "newNodeId"
  | "nodeIp"
  | "nodeExternalIp"
  | "nodeLabel"
  | "nodeTaint"
  | "dataDir"
  | "paths"
  | "bindAddress"
  | "loopbackAddress"
  | "flannelIface"
  | "resolvConf"
  | "pauseImage"
  | "snapshotter"
  | "preferBundledBin"
  | "kubeletArg"
  | "kubeProxyArg"
  | "v"
  | "vmodule"
  | "debug"
  | "log"
  | "alsologtostderr"
  | "fileArguments"
  | "warnings"
>;
