import { readFile } from "node:fs/promises";
import { ClusterClient, trustCluster } from "@k3s/cluster-client";
import { differences, encodeClusterConfig, parseClusterConfig } from "@k3s/cluster-config";
import { describeError } from "@k3s/errors";
import { EtcdClient } from "@k3s/etcd-client";
import type { Component } from "@k3s/lifecycle";
import type { Logger } from "@k3s/log";
import { serverCredPaths, serverTlsPaths } from "@k3s/pki";
import { readPasswd } from "@k3s/token";
import { clusterFacts } from "./cluster-facts.ts";
import { ServerError } from "./errors.ts";
import type { ServerParts } from "./server-parts.ts";
import { servingAddresses } from "./serving-addresses.ts";

type Parts = Pick<ServerParts, "config" | "datastore" | "host">;

/**
 * Before kube-apiserver starts: the settings that all servers must share are compared with those of a server that runs,
 * the one named with --server or one that the shared datastore knows. When none answers, there is nothing to compare.
 */
export function agreement(parts: Parts): Component {
  const log = parts.host.log.child({ component: "agreement" });
  return { name: "agreement", start: ({ signal }) => compare(parts, log, signal), stop: () => Promise.resolve() };
}

async function compare(parts: Parts, log: Logger, signal: AbortSignal): Promise<void> {
  const { config } = parts;
  for (const server of await peers(parts, log)) {
    try {
      const other = parseClusterConfig(await documentOf(server, { parts, log, signal }));
      const psk = await readFile(serverCredPaths(config.paths.serverDir).ipsecPsk, "utf8");
      const own = parseClusterConfig(encodeClusterConfig(clusterFacts(config, psk.trim())));
      const found = differences(own.fields, other.fields);
      if (found.length > 0) throw ServerError.mismatch(server, found);
      log.info({ server }, "settings agree with those of a running server");
      return;
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof ServerError) throw error;
      log.warn({ server, reason: describeError(error) }, "settings could not be compared with those of this server");
    }
  }
}

async function peers({ config, datastore }: Parts, log: Logger): Promise<readonly string[]> {
  if (config.server !== undefined) return [config.server];
  if (!datastore.isShared) return [];
  const client = await EtcdClient.create(datastore.etcdAccess);
  try {
    const addresses = await servingAddresses(client);
    return addresses
      .filter((address) => address !== config.advertiseAddress)
      .map((address) => `https://${address.includes(":") ? `[${address}]` : address}:${config.httpsListenPort}`);
  } catch (error) {
    log.warn({ reason: describeError(error) }, "other servers could not be looked up");
    return [];
  } finally {
    client.close();
  }
}

async function documentOf(
  server: string,
  { parts, log, signal }: { readonly parts: Parts; readonly log: Logger; readonly signal: AbortSignal },
): Promise<string> {
  const { serverDir } = parts.config.paths;
  const users = await readPasswd(serverCredPaths(serverDir).passwd);
  const password = users.find(({ user }) => user === "node")?.password ?? "";
  const caFile = serverTlsPaths(serverDir).serverCa.cert;
  const trust = await trustCluster({ server, token: `K10::node:${password}`, user: "node", caFile, log, signal });
  return (await new ClusterClient({ trust, log }).get("/v1-k3s/config", signal)).toString("utf8");
}
