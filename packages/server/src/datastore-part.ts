import { bootstrapStoreOn, type BootstrapStore } from "@k3s/bootstrap-data";
import type { ServerConfig } from "@k3s/config";
import type { ControlPlaneOptions } from "@k3s/control-plane";
import type { CommitHints, Store } from "@k3s/datastore";
import { Datastore, parseEndpoint } from "@k3s/datastore-endpoint";
import type { EtcdClientOptions } from "@k3s/etcd-client";
import type { Component } from "@k3s/lifecycle";
import { MetricsRegistry, processMetrics } from "@k3s/metrics";
import { ExternalEtcd } from "./external-etcd.ts";
import type { ServerHost } from "./server-host.ts";

/** Where this server's data is, whoever keeps it. */
export interface DatastorePart {
  readonly component: Component;
  /** Usable once the component has started. */
  readonly bootstrapStore: () => BootstrapStore;
  /** What our etcd API has to serve; undefined where kube-apiserver talks to an etcd of others. */
  readonly store: (() => Store) | undefined;
  /** How servers tell each other of commits, once the component has started; undefined where they need not. */
  readonly hints: () => CommitHints | undefined;
  /** How we ourselves reach the etcd API in front of the data, once that is served. */
  readonly etcdAccess: EtcdClientOptions;
  /** Where kube-apiserver finds its data. */
  readonly etcd: ControlPlaneOptions["etcd"];
  /** Whether other servers may use the same data: then one of them is elected for what only one may do. */
  readonly isShared: boolean;
  /** Everything that is counted, for `/metrics` of the etcd API. */
  readonly metrics: MetricsRegistry;
}

/** Decides by the endpoint, which the configuration has checked. */
export function datastorePart(config: ServerConfig, { log, env }: Pick<ServerHost, "log" | "env">): DatastorePart {
  const endpoint = parseEndpoint(config.datastoreEndpoint);
  const metrics = new MetricsRegistry();
  processMetrics(metrics);
  const common = { folder: config.paths.serverDir, tls: config.datastoreTls };
  if (endpoint.kind === "etcd") {
    const { servers } = endpoint;
    const component = new ExternalEtcd({ ...common, servers, log: log.child({ component: "external-etcd" }) });
    return {
      component,
      bootstrapStore: () => component.bootstrapStore,
      store: undefined,
      hints: () => undefined,
      etcdAccess: { ...common, servers },
      etcd: { servers: servers.join(","), tls: tlsFlags(config) },
      isShared: true,
      metrics,
    };
  }
  // Kine's health key is there as in every k3s, for those who read the table.
  const options = { ...common, endpoint, metrics, env, healthKey: true };
  const component = new Datastore({ ...options, log: log.child({ component: "datastore" }) });
  return {
    component,
    bootstrapStore: () => bootstrapStoreOn(component.store),
    store: () => component.store,
    hints: () => component.hints,
    etcdAccess: { servers: [`unix://${config.paths.datastoreSocket}`] },
    // Relative to the server folder, which is the children's working folder: the client's preflight dials it as it stands.
    etcd: { servers: "unix://kine.sock" },
    isShared: endpoint.kind !== "sqlite",
    metrics,
  };
}

function tlsFlags({ datastoreTls: { caFile, certFile, keyFile } }: ServerConfig) {
  return {
    ...(caFile === undefined ? {} : { ca: caFile }),
    ...(certFile === undefined ? {} : { cert: certFile }),
    ...(keyFile === undefined ? {} : { key: keyFile }),
  };
}
