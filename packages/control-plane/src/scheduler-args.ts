import { serverCredPaths, serverTlsPaths } from "@k3s/pki";
import { loggingFlags, type ControlPlaneOptions } from "./control-plane-options.ts";
import { kubernetesMinor, selectFlags, type Lifetimes } from "./flag-lifetime.ts";
import { mergeArgs, type FlagDefaults } from "./merge-args.ts";

/** Port of kube-scheduler's HTTPS listener (upstream default, kept by k3s). */
const SCHEDULER_PORT = 10_259;

const LIFETIMES: Lifetimes = {
  // Turns off the plain HTTP listener of old releases, which would be open to everybody on port 10251.
  port: { until: 23 },
};

/** The whole argument list of kube-scheduler, for the release named in the options. */
export function schedulerArgs(options: ControlPlaneOptions): string[] {
  const minor = kubernetesMinor(options.kubernetesVersion);
  const kubeconfig = serverCredPaths(options.serverDirectory).schedulerKubeconfig;
  const serving = serverTlsPaths(options.serverDirectory).servingScheduler;
  const defaults: FlagDefaults = {
    kubeconfig,
    "authentication-kubeconfig": kubeconfig,
    "authorization-kubeconfig": kubeconfig,
    "bind-address": options.loopback,
    "secure-port": String(SCHEDULER_PORT),
    port: "0",
    "tls-cert-file": serving.cert,
    "tls-private-key-file": serving.key,
    profiling: "false",
    ...(options.singleServerDatastore ? { "leader-elect": "false" } : {}),
    ...loggingFlags(options),
  };
  return mergeArgs(selectFlags(defaults, LIFETIMES, minor), options.schedulerArgs);
}
