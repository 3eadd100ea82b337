export { containerd } from "./containerd.ts";
export { NodeRuntimeError } from "./errors.ts";
export { ImageImport } from "./image-import.ts";
export { inspectMachine, type InspectOptions } from "./inspect-machine.ts";
export { setUpKernel, type KernelSetupOptions } from "./kernel-setup.ts";
export { kubelet } from "./kubelet.ts";
export { kubeProxy } from "./kube-proxy.ts";
export type { CgroupFacts, IptablesFacts, MachineFacts } from "./machine-facts.ts";
export { nodePaths, type NodeRuntimeOptions } from "./node-runtime-options.ts";
export {
  chooseSettings,
  machineWarnings,
  type ChosenByUser,
  type MachineWarning,
  type NodeSettings,
} from "./node-settings.ts";
