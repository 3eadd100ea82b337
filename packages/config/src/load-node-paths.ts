import { ConfigError } from "./errors.ts";
import type { HostFacts } from "./host-facts.ts";
import { readSettings, type ConfigSource } from "./gather-settings.ts";
import { defaultDataDir, nodePaths, type NodePaths } from "./paths.ts";

type Source = Pick<ConfigSource, "flags" | "env" | "signal"> & {
  readonly host: Pick<HostFacts, "isRoot" | "home">;
};

/**
 * Finds the folders of the node on this machine as the node itself does: by flag, config files, variable. Other settings
 * are not looked at. Rejects with ConfigError.
 */
export async function loadNodePaths(source: Source): Promise<NodePaths> {
  const problems: string[] = [];
  const values = await readSettings(
    { ...source, names: new Set(["data-dir"]) },
    (problem) => void problems.push(problem),
  );
  if (problems.length > 0) throw ConfigError.invalid([...new Set(problems)]);
  return nodePaths(values.dataDir ?? defaultDataDir(source.host));
}
