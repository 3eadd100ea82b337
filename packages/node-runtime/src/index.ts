export { normalizeImageName } from "./archive-names.ts";
export { archivePacking } from "./archive-stream.ts";
export { containerd } from "./containerd.ts";
export { ImageImport } from "./image-import.ts";
export { ImageStore, type StoredImage } from "./image-store.ts";
export { importArchive } from "./import-archive.ts";
export { inspectMachine, inUserNamespace } from "./inspect-machine.ts";
export { inspectModules, type ModuleGroupFacts } from "./kernel-modules.ts";
export { inspectSysctls, setUpKernel, wantedSysctls, type SysctlFacts } from "./kernel-setup.ts";
export type { MachineFacts } from "./machine-facts.ts";
export { kubelet } from "./kubelet.ts";
export { kubeProxy } from "./kube-proxy.ts";
export type { NodeRuntimeOptions } from "./node-runtime-options.ts";
export {
  chooseSettings,
  MACHINE_RULES,
  machineWarnings,
  missingControllers,
  type ChosenByUser,
  type NodeSettings,
} from "./node-settings.ts";
export { runProgram } from "./run-program.ts";
