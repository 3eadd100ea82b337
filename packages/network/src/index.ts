export { conflist } from "./conflist.ts";
export { layOutPodNetwork, PodNetwork } from "./pod-network.ts";
