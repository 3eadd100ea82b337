export { containerd } from "./containerd.ts";
export { ImageImport } from "./image-import.ts";
export { inspectMachine, inUserNamespace } from "./inspect-machine.ts";
export { setUpKernel } from "./kernel-setup.ts";
export { kubelet } from "./kubelet.ts";
export { kubeProxy } from "./kube-proxy.ts";
export type { NodeRuntimeOptions } from "./node-runtime-options.ts";
export { chooseSettings, machineWarnings, type NodeSettings } from "./node-settings.ts";
