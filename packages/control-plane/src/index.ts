export {
  kubeApiserver,
  kubeControllerManager,
  kubeScheduler,
  type ControlPlaneRuntime,
} from "./control-plane-children.ts";
export { loggingFlags, type ControlPlaneOptions, type EtcdEndpoint } from "./control-plane-options.ts";
export { egressSelectorConfig } from "./egress-selector-config.ts";
export { ControlPlaneError } from "./errors.ts";
export { existsIn, kubernetesMinor, selectFlags, type Lifetime, type Lifetimes } from "./flag-lifetime.ts";
export { KubernetesEndpoint, type KubernetesEndpointOptions } from "./kubernetes-endpoint.ts";
export { mergeArgs, takeUserArg, type FlagDefaults } from "./merge-args.ts";
