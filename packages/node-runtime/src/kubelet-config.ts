import { existsIn, kubernetesMinor, type Lifetimes } from "@k3s/control-plane";
import { agentPaths } from "@k3s/pki";
import { nodePaths, type NodeRuntimeOptions } from "./node-runtime-options.ts";

type JsonValue = string | number | boolean | readonly JsonValue[] | { readonly [name: string]: JsonValue };
export type JsonObject = Readonly<Record<string, JsonValue>>;

export interface KubeletConfigOptions extends Pick<
  NodeRuntimeOptions,
  | "agentDirectory"
  | "stateDirectory"
  | "settings"
  | "listenAddress"
  | "loopback"
  | "clusterDns"
  | "clusterDomain"
  | "nodeTaints"
  | "protectKernelDefaults"
  | "serviceLb"
  | "verbosity"
  | "vmodule"
> {
  readonly kubernetesVersion: string;
  /** The file that was found or made. */
  readonly resolvConf: string;
}

/** Fields of KubeletConfiguration v1beta1 that do not exist in every release. */
const LIFETIMES: Lifetimes = {
  registerWithTaints: { since: 23 },
  containerRuntimeEndpoint: { since: 27 },
  imageServiceEndpoint: { since: 27 },
  failCgroupV1: { since: 31 },
};
/** Before this release `logging` has a format only, and durations in it were numbers. */
const LOGGING_FIELDS = { since: 28 };

/** The defaults of k3s as a KubeletConfiguration for the release named in the options. */
export function kubeletConfig(options: KubeletConfigOptions): JsonObject {
  const minor = kubernetesMinor(options.kubernetesVersion);
  const fields: JsonObject = {
    apiVersion: "kubelet.config.k8s.io/v1beta1",
    kind: "KubeletConfiguration",
    ...listenerFields(options),
    ...accessFields(options),
    ...intervalFields,
    ...runtimeFields(options),
    ...resourceFields(options),
    ...nodeFields(options),
    logging: loggingFields(options, minor),
  };
  return Object.fromEntries(Object.entries(fields).filter(([name]) => existsIn(minor, LIFETIMES[name])));
}

const intervalFields: JsonObject = {
  cpuManagerReconcilePeriod: "10s",
  evictionPressureTransitionPeriod: "5m",
  fileCheckFrequency: "20s",
  httpCheckFrequency: "20s",
  imageMinimumGCAge: "2m",
  nodeStatusReportFrequency: "5m",
  nodeStatusUpdateFrequency: "10s",
  runtimeRequestTimeout: "2m",
  streamingConnectionIdleTimeout: "4h",
  syncFrequency: "1m",
  volumeStatsAggPeriod: "1m",
};

function listenerFields(options: KubeletConfigOptions): JsonObject {
  const { servingKubelet } = agentPaths(options.agentDirectory);
  return {
    address: options.listenAddress,
    healthzBindAddress: options.loopback,
    tlsCertFile: servingKubelet.cert,
    tlsPrivateKeyFile: servingKubelet.key,
  };
}

function accessFields(options: KubeletConfigOptions): JsonObject {
  return {
    authentication: {
      anonymous: { enabled: false },
      webhook: { enabled: true, cacheTTL: "2m" },
      x509: { clientCAFile: agentPaths(options.agentDirectory).clientCa },
    },
    authorization: {
      mode: "Webhook",
      webhook: { cacheAuthorizedTTL: "5m", cacheUnauthorizedTTL: "30s" },
    },
  };
}

function runtimeFields(options: KubeletConfigOptions): JsonObject {
  const { settings } = options;
  const endpoint = `unix://${nodePaths(options).containerdSocket}`;
  return {
    cgroupDriver: settings.cgroupDriver,
    containerRuntimeEndpoint: endpoint,
    imageServiceEndpoint: endpoint,
    serializeImagePulls: false,
    ...(settings.cpuCfsQuota ? {} : { cpuCFSQuota: false }),
    ...(settings.kubeletCgroups === undefined ? {} : { kubeletCgroups: settings.kubeletCgroups }),
    ...(settings.cgroupV1 ? { failCgroupV1: false } : {}),
  };
}

function resourceFields(options: KubeletConfigOptions): JsonObject {
  return {
    failSwapOn: false,
    protectKernelDefaults: options.protectKernelDefaults,
    evictionHard: { "imagefs.available": "5%", "nodefs.available": "5%" },
    evictionMinimumReclaim: { "imagefs.available": "10%", "nodefs.available": "10%" },
  };
}

function nodeFields(options: KubeletConfigOptions): JsonObject {
  return {
    clusterDNS: options.clusterDns,
    clusterDomain: options.clusterDomain,
    resolvConf: options.resolvConf,
    staticPodPath: nodePaths(options).podManifests,
    ...(options.nodeTaints.length === 0 ? {} : { registerWithTaints: options.nodeTaints.map(parseTaint) }),
    ...(options.serviceLb ? { allowedUnsafeSysctls: ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"] } : {}),
  };
}

function loggingFields({ verbosity, vmodule }: KubeletConfigOptions, minor: number): JsonObject {
  if (!existsIn(minor, LOGGING_FIELDS)) return { format: "text" };
  const patterns = vmodule.split(",").filter(Boolean);
  return {
    format: "text",
    flushFrequency: "5s",
    verbosity,
    ...(patterns.length === 0 ? {} : { vmodule: patterns.map(parseVmodule) }),
  };
}

/** `key=value:Effect` or `key:Effect` as a taint. */
function parseTaint(text: string): JsonObject {
  const colon = text.lastIndexOf(":");
  const [key = "", value = ""] = text.slice(0, colon).split("=");
  return { key, ...(value === "" ? {} : { value }), effect: text.slice(colon + 1) };
}

/** `pattern=level` as klog's module specification. */
function parseVmodule(text: string): JsonObject {
  const equals = text.lastIndexOf("=");
  return { filePattern: text.slice(0, equals), verbosity: Number(text.slice(equals + 1)) };
}
