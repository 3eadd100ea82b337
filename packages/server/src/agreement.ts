import { isForeign } from "@k3s/cluster-client";
import { describeError } from "@k3s/errors";
import { EtcdClient } from "@k3s/etcd-client";
import type { Component } from "@k3s/lifecycle";
import type { Logger } from "@k3s/log";
import { compareSettings } from "./compare-settings.ts";
import { ServerError } from "./errors.ts";
import type { ServerParts } from "./server-parts.ts";
import { serverUrl, servingAddresses } from "./serving-addresses.ts";

/** What is compared, and where other servers are found. */
export interface AgreementParts {
  readonly config: ServerParts["config"];
  readonly datastore: Pick<ServerParts["datastore"], "isShared" | "etcdAccess">;
  readonly host: { readonly log: Logger };
}

/**
 * Before kube-apiserver starts: the settings that all servers must share are compared with those of a server that runs,
 * the one named with --server or one that the shared datastore knows. When none answers, there is nothing to compare.
 */
export function agreement(parts: AgreementParts): Component {
  const log = parts.host.log.child({ component: "agreement" });
  return { name: "agreement", start: ({ signal }) => compare(parts, log, signal), stop: () => Promise.resolve() };
}

async function compare(parts: AgreementParts, log: Logger, signal: AbortSignal): Promise<void> {
  const { config } = parts;
  for (const server of await peers(parts, log)) {
    try {
      await compareSettings({ config, server, log }, signal);
      log.info({ server }, "settings agree with those of a running server");
      return;
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof ServerError) throw error;
      if (server === config.server && isForeign(error)) throw ServerError.foreign(server, error);
      log.warn({ server, reason: describeError(error) }, "settings could not be compared with those of this server");
    }
  }
}

/** The one that was named comes first; the datastore knows others where that one does not answer. */
async function peers({ config, datastore }: AgreementParts, log: Logger): Promise<readonly string[]> {
  const named = config.server === undefined ? [] : [config.server];
  if (!datastore.isShared) return named;
  const client = await EtcdClient.create(datastore.etcdAccess);
  try {
    const addresses = (await servingAddresses(client)).filter((address) => address !== config.advertiseAddress);
    return [...new Set([...named, ...addresses.map((address) => serverUrl(address, config.httpsListenPort))])];
  } catch (error) {
    log.warn({ reason: describeError(error) }, "other servers could not be looked up");
    return named;
  } finally {
    client.close();
  }
}
