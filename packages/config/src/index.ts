export { ConfigError } from "./errors.ts";
export { readHostFacts, type HostFacts } from "./host-facts.ts";
export { loadServerConfig, type Environment, type ServerConfigSource } from "./load-server-config.ts";
export type { NodeLabel, NodeTaint } from "./node-metadata.ts";
export { defaultDataDir, nodePaths, type NodePaths } from "./paths.ts";
export type { ServerConfig } from "./server-config.ts";
export { serverSettings } from "./server-settings.ts";
export { CATEGORIES, type Category, type Role, type Setting } from "./setting.ts";
