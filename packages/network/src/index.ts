export { SUBNET_FILE } from "./flannel-files.ts";
export { layOutNetworkFiles } from "./lay-out-files.ts";
export { backendOf, type Backend } from "./lease.ts";
export { PodNetwork } from "./pod-network.ts";
