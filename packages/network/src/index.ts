export { conflist, type ConflistOptions } from "./conflist.ts";
export { PodNetwork, type PodNetworkOptions } from "./pod-network.ts";
