import type { ServerConfig } from "@k3s/config";
import type { Component } from "@k3s/lifecycle";
import type { Logger } from "@k3s/log";
import { Counter } from "@k3s/metrics";
import { serverTlsPaths } from "@k3s/pki";
import type { Route } from "@k3s/supervisor-api";
import { COMMIT_HINT_PATH, commitHintRoute } from "./commit-hint-route.ts";
import { CommitHintSender } from "./commit-hint-sender.ts";
import type { DatastorePart } from "./datastore-part.ts";
import { knownAddresses, serverUrl } from "./serving-addresses.ts";

export interface CommitHintsParts {
  readonly config: Pick<ServerConfig, "advertiseAddress" | "httpsListenPort" | "paths">;
  readonly datastore: Pick<DatastorePart, "isShared" | "store" | "hints" | "metrics">;
  readonly log: Logger;
}

/** What servers of one database do to hear soon of each other's commits. */
interface CommitHintsService {
  readonly routes: ReadonlyMap<string, Route>;
  readonly components: readonly Component[];
}

/** Nothing where one server has the datastore for itself, or an etcd of others keeps it. */
export function commitHints({ config, datastore, log }: CommitHintsParts): CommitHintsService {
  const { store, hints, isShared, metrics } = datastore;
  if (!isShared || store === undefined) return { routes: new Map(), components: [] };
  const { advertiseAddress, httpsListenPort, paths } = config;
  const counter = metrics.add(
    new Counter({
      name: "k3s_datastore_hints_total",
      help: "What servers told each other of their commits: sent, failed (not answered or refused) and received",
      labels: ["outcome"],
    }),
  );
  const others = async () => (await knownAddresses(store())).filter((address) => address !== advertiseAddress);
  const { clientSupervisor, serverCa } = serverTlsPaths(paths.serverDir);
  const sender = new CommitHintSender({
    hints,
    servers: async () => (await others()).map((address) => serverUrl(address, httpsListenPort)),
    files: { caFile: serverCa.cert, certFile: clientSupervisor.cert, keyFile: clientSupervisor.key },
    onOutcome: (outcome) => counter.increment({ outcome }),
    log,
  });
  const route = commitHintRoute({ hints, onHint: () => counter.increment({ outcome: "received" }) });
  return { routes: new Map([[COMMIT_HINT_PATH, route]]), components: [sender] };
}
