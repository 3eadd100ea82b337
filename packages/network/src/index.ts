export { conflist, type ConflistOptions } from "./conflist.ts";
export { layOutPodNetwork, PodNetwork, type PodNetworkOptions } from "./pod-network.ts";
