import { deepFreeze } from "./deep-freeze.ts";
import { deriveConfig } from "./derive-config.ts";
import { ConfigError } from "./errors.ts";
import { gatherSettings, type ConfigSource } from "./gather-settings.ts";
import type { ServerConfig } from "./server-config.ts";

/** The configuration of a server. Rejects with one ConfigError that lists every mistake. */
export async function loadServerConfig(source: ConfigSource): Promise<ServerConfig> {
  const { values, fileArguments, report, problems, warnings } = await gatherSettings("server", source);
  const { host, env, signal } = source;
  const config = await deriveConfig({ values, host, env, signal, fileArguments }, { report, warnings });
  if (problems.length > 0) throw ConfigError.invalid([...new Set(problems)]);
  return deepFreeze(config);
}
