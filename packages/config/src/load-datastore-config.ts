import type { DatastoreTls } from "@k3s/datastore-endpoint";
import { checkDatastore } from "./check-datastore.ts";
import { ConfigError } from "./errors.ts";
import type { HostFacts } from "./host-facts.ts";
import { readSettings, type ConfigSource } from "./gather-settings.ts";
import { defaultDataDir, nodePaths, type NodePaths } from "./paths.ts";
import type { Report } from "./setting.ts";

/** What a tool must know of a server on this machine in order to find its datastore. */
export interface DatastoreConfig {
  readonly paths: NodePaths;
  /** As the server got it; may hold a password. */
  readonly datastoreEndpoint: string;
  readonly datastoreTls: DatastoreTls;
}

type Source = Pick<ConfigSource, "flags" | "env" | "signal"> & {
  readonly host: Pick<HostFacts, "isRoot" | "home">;
};

const NAMES = ["data-dir", "datastore-endpoint", "datastore-cafile", "datastore-certfile", "datastore-keyfile"];

/**
 * Reads the settings of the datastore from where a server has them: flags, config files, variables. Other settings are not
 * looked at, so a tool works where a server could not start. Rejects with one ConfigError that lists every mistake.
 */
export async function loadDatastoreConfig(source: Source): Promise<DatastoreConfig> {
  const problems: string[] = [];
  const report: Report = (problem) => void problems.push(problem);
  const values = await readSettings({ ...source, names: new Set(NAMES) }, report);
  const datastoreTls = await checkDatastore(values, { report, warnings: [], env: source.env });
  if (problems.length > 0) throw ConfigError.invalid([...new Set(problems)]);
  return {
    paths: nodePaths(values.dataDir ?? defaultDataDir(source.host)),
    datastoreEndpoint: values.datastoreEndpoint,
    datastoreTls,
  };
}
