import { readFile } from "node:fs/promises";
import { ClusterClient, trustCluster } from "@k3s/cluster-client";
import { differences, encodeClusterConfig, parseClusterConfig } from "@k3s/cluster-config";
import type { ServerConfig } from "@k3s/config";
import type { Logger } from "@k3s/log";
import { serverCredPaths, serverTlsPaths } from "@k3s/pki";
import { readPasswd } from "@k3s/token";
import { clusterFacts } from "./cluster-facts.ts";
import { ServerError } from "./errors.ts";

export interface Comparison {
  readonly config: ServerConfig;
  /** `https://host:port` of the other server. */
  readonly server: string;
  readonly log: Logger;
}

/**
 * Resolves when the settings that all servers must share are the same here and there, and the names of their nodes differ.
 * Rejects with ServerError when that is not so, with ClusterError when the other server cannot be asked.
 */
export async function compareSettings(comparison: Comparison, signal: AbortSignal): Promise<void> {
  const { config, server } = comparison;
  const other = parseClusterConfig(await documentOf(comparison, signal));
  const psk = await readFile(serverCredPaths(config.paths.serverDir).ipsecPsk, "utf8");
  const own = parseClusterConfig(encodeClusterConfig(clusterFacts(config, psk.trim())));
  const found = differences(own.fields, other.fields);
  if (found.length > 0) throw ServerError.mismatch(server, found);
  if (isNamesake(config, other.fields)) throw ServerError.nodeName(server, config.nodeName);
}

/** Two kubelets would fight for one Node. A balancer may have sent us to ourselves, where the name is our own. */
function isNamesake(config: ServerConfig, other: Readonly<Record<string, unknown>>): boolean {
  if (config.disableAgent || other["DisableAgent"] === true) return false;
  return other["ServerNodeName"] === config.nodeName && other["AdvertiseIP"] !== config.advertiseAddress;
}

async function documentOf({ config, server, log }: Comparison, signal: AbortSignal): Promise<string> {
  const { serverDir } = config.paths;
  const users = await readPasswd(serverCredPaths(serverDir).passwd);
  const password = users.find(({ user }) => user === "node")?.password ?? "";
  const caFile = serverTlsPaths(serverDir).serverCa.cert;
  const trust = await trustCluster({ server, token: `K10::node:${password}`, user: "node", caFile, log, signal });
  return (await new ClusterClient({ trust, log }).get("/v1-k3s/config", signal)).toString("utf8");
}
