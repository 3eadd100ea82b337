import { serverCredPaths, serverTlsPaths } from "@k3s/pki";
import { loggingFlags, type ControlPlaneOptions } from "./control-plane-options.ts";
import { existsIn, kubernetesMinor, selectFlags, type Lifetimes } from "./flag-lifetime.ts";
import { mergeArgs, type FlagDefaults } from "./merge-args.ts";

/** Port of kube-controller-manager's HTTPS listener (upstream default, kept by k3s). */
const CONTROLLER_MANAGER_PORT = 10_257;

const LIFETIMES: Lifetimes = {
  // Turns off the plain HTTP listener of old releases, which would be open to everybody on port 10252.
  port: { until: 24 },
};

/** Since this release controllers have names of one form; the old names go on as undocumented aliases. */
const LONG_NAMES = { since: 28 };
const shortNames = { tokenCleaner: "tokencleaner", cloud: ["service", "route", "cloud-node-lifecycle"] };
const longNames = {
  tokenCleaner: "token-cleaner-controller",
  cloud: ["service-lb-controller", "node-route-controller", "cloud-node-lifecycle-controller"],
};

/** The whole argument list of kube-controller-manager, for the release named in the options. */
export function controllerManagerArgs(options: ControlPlaneOptions): string[] {
  const minor = kubernetesMinor(options.kubernetesVersion);
  const kubeconfig = serverCredPaths(options.serverDirectory).controllerKubeconfig;
  const defaults: FlagDefaults = {
    kubeconfig,
    "authentication-kubeconfig": kubeconfig,
    "authorization-kubeconfig": kubeconfig,
    "bind-address": options.loopback,
    "secure-port": String(CONTROLLER_MANAGER_PORT),
    port: "0",
    profiling: "false",
    "allocate-node-cidrs": "true",
    "cluster-cidr": options.clusterCidrs.join(","),
    "service-cluster-ip-range": options.serviceCidrs.join(","),
    "use-service-account-credentials": "true",
    ...controllerFlags(options, minor),
    ...fileFlags(options.serverDirectory),
    ...(options.singleServerDatastore ? { "leader-elect": "false" } : {}),
    ...loggingFlags(options),
  };
  return mergeArgs(selectFlags(defaults, LIFETIMES, minor), options.controllerManagerArgs);
}

function controllerFlags({ cloudController }: ControlPlaneOptions, minor: number): FlagDefaults {
  const names = existsIn(minor, LONG_NAMES) ? longNames : shortNames;
  const enabled = ["*", names.tokenCleaner];
  if (!cloudController) return { controllers: enabled.join(",") };
  const disabled = names.cloud.map((name) => `-${name}`);
  return { controllers: [...enabled, ...disabled].join(","), "configure-cloud-routes": "false" };
}

function fileFlags(serverDirectory: string): FlagDefaults {
  const tls = serverTlsPaths(serverDirectory);
  // The signer takes exactly one certificate, so it gets the CA without its chain.
  const clientCa = { cert: tls.clientCaNoChain, key: tls.clientCa.key };
  const serverCa = { cert: tls.serverCaNoChain, key: tls.serverCa.key };
  return {
    "root-ca-file": tls.serverCa.cert,
    "service-account-private-key-file": tls.serviceCurrentKey,
    "tls-cert-file": tls.servingController.cert,
    "tls-private-key-file": tls.servingController.key,
    "cluster-signing-kube-apiserver-client-cert-file": clientCa.cert,
    "cluster-signing-kube-apiserver-client-key-file": clientCa.key,
    "cluster-signing-kubelet-client-cert-file": clientCa.cert,
    "cluster-signing-kubelet-client-key-file": clientCa.key,
    "cluster-signing-kubelet-serving-cert-file": serverCa.cert,
    "cluster-signing-kubelet-serving-key-file": serverCa.key,
    "cluster-signing-legacy-unknown-cert-file": serverCa.cert,
    "cluster-signing-legacy-unknown-key-file": serverCa.key,
  };
}
