import { serverCredPaths, serverTlsPaths } from "@k3s/pki";
import { loggingFlags, type ControlPlaneOptions } from "./control-plane-options.ts";
import { egressSelectorPath } from "./egress-selector-config.ts";
import { kubernetesMinor, selectFlags, type Lifetimes } from "./flag-lifetime.ts";
import { mergeArgs, userGives, type FlagDefaults } from "./merge-args.ts";

/** Go's names of the suites that the public listener offers, too (k3s: `tls-cipher-suites`). */
const DEFAULT_CIPHER_SUITES =
  "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384," +
  "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256," +
  "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305,TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305";

const LIFETIMES: Lifetimes = {
  "encryption-provider-config-automatic-reload": { since: 26 },
};

/** The whole argument list of kube-apiserver, for the release named in the options. */
export function kubeApiserverArgs(options: ControlPlaneOptions): string[] {
  const minor = kubernetesMinor(options.kubernetesVersion);
  const defaults: FlagDefaults = {
    ...listenerFlags(options),
    ...datastoreFlags(options),
    ...accessFlags(options),
    ...kubeletAndProxyFlags(options),
    ...egressFlags(options),
    ...encryptionFlags(options),
    ...loggingFlags(options),
  };
  return mergeArgs(selectFlags(defaults, LIFETIMES, minor), options.apiserverArgs);
}

function listenerFlags(options: ControlPlaneOptions): FlagDefaults {
  const tls = serverTlsPaths(options.serverDirectory);
  return {
    "bind-address": options.apiserverBindAddress ?? options.loopback,
    "secure-port": String(options.apiserverPort),
    // Upstream publishes only its own port, which nobody outside can reach: KubernetesEndpoint publishes the public one.
    "endpoint-reconciler-type": "none",
    ...(options.advertiseAddress === undefined ? {} : { "advertise-address": options.advertiseAddress }),
    "cert-dir": tls.temporaryCertsDir,
    "tls-cert-file": tls.servingApiServer.cert,
    "tls-private-key-file": tls.servingApiServer.key,
    "tls-cipher-suites": DEFAULT_CIPHER_SUITES,
    "service-cluster-ip-range": options.serviceCidrs.join(","),
    "service-node-port-range": options.serviceNodePortRange,
    profiling: "false",
  };
}

function datastoreFlags({ etcd }: ControlPlaneOptions): FlagDefaults {
  return {
    "storage-backend": "etcd3",
    "etcd-servers": etcd.servers,
    ...(etcd.tls?.ca === undefined ? {} : { "etcd-cafile": etcd.tls.ca }),
    ...(etcd.tls?.cert === undefined ? {} : { "etcd-certfile": etcd.tls.cert }),
    ...(etcd.tls?.key === undefined ? {} : { "etcd-keyfile": etcd.tls.key }),
  };
}

function accessFlags(options: ControlPlaneOptions): FlagDefaults {
  const tls = serverTlsPaths(options.serverDirectory);
  const issuer = `https://kubernetes.default.svc.${options.clusterDomain}`;
  const user = (name: string) => userGives(options.apiserverArgs, name);
  return {
    "allow-privileged": "true",
    "enable-bootstrap-token-auth": "true",
    "enable-admission-plugins": "NodeRestriction",
    // Each of these two is refused beside the configuration file that replaces it.
    ...(user("authorization-config") ? {} : { "authorization-mode": "Node,RBAC" }),
    ...(user("authentication-config") ? {} : { "anonymous-auth": "false" }),
    "client-ca-file": tls.clientCa.cert,
    "service-account-issuer": issuer,
    "api-audiences": `${issuer},k3s`,
    "service-account-signing-key-file": tls.serviceCurrentKey,
    "service-account-key-file": tls.serviceKey,
    "requestheader-client-ca-file": tls.requestHeaderCa.cert,
    "requestheader-allowed-names": "system:auth-proxy",
    "requestheader-extra-headers-prefix": "X-Remote-Extra-",
    "requestheader-group-headers": "X-Remote-Group",
    "requestheader-username-headers": "X-Remote-User",
  };
}

function kubeletAndProxyFlags(options: ControlPlaneOptions): FlagDefaults {
  const tls = serverTlsPaths(options.serverDirectory);
  return {
    "kubelet-certificate-authority": tls.serverCa.cert,
    "kubelet-client-certificate": tls.clientApiServer.cert,
    "kubelet-client-key": tls.clientApiServer.key,
    "kubelet-preferred-address-types": options.preferExternalKubeletAddress
      ? "ExternalIP,InternalIP,Hostname"
      : "InternalIP,ExternalIP,Hostname",
    "proxy-client-cert-file": tls.authProxy.cert,
    "proxy-client-key-file": tls.authProxy.key,
  };
}

function egressFlags(options: ControlPlaneOptions): FlagDefaults {
  if (options.egressMode === "disabled") return {};
  return {
    "egress-selector-config-file": egressSelectorPath(options.serverDirectory),
    "enable-aggregator-routing": "true",
  };
}

function encryptionFlags(options: ControlPlaneOptions): FlagDefaults {
  if (!options.secretsEncryption) return {};
  return {
    "encryption-provider-config": serverCredPaths(options.serverDirectory).encryptionConfig,
    "encryption-provider-config-automatic-reload": "true",
  };
}
