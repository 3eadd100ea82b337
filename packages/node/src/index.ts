export { ApiClients, type ApiClientsOptions } from "./api-clients.ts";
export { childEnvironment } from "./child-environment.ts";
export { ClusterNode } from "./cluster-node.ts";
export { leftovers, recordsPlace } from "./leftovers.ts";
export type { ClusterNetwork, NodeHost } from "./node-parts.ts";
export { startMemory } from "./start-memory.ts";
export { unpackPrograms } from "./unpack-programs.ts";
