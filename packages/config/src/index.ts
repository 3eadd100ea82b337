export { readHostFacts } from "./host-facts.ts";
export { parseAddress } from "./ip.ts";
export { loadServerConfig } from "./load-server-config.ts";
export type { ServerConfig } from "./server-config.ts";
export { recordedArgument } from "./recorded-argument.ts";
export { settingEntries } from "./server-settings.ts";
export { nearest } from "./suggest.ts";
export { unsupportedFlags } from "./unsupported.ts";
export { CATEGORIES, type Setting } from "./setting.ts";
