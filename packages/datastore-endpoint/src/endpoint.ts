import { EndpointError } from "./errors.ts";
import { parseEtcdServers } from "./etcd-servers.ts";
import { quotePart } from "./redact-endpoint.ts";
import { parseLitestreamDsn, parseSqliteDsn, type SqliteDsn } from "./sqlite-dsn.ts";

/** Databases whose drivers read their own form of address. */
export type DatabaseKind = "mysql" | "postgres" | "nats";

/** Where the cluster's data is kept. */
export type Endpoint =
  | { readonly kind: "sqlite"; readonly dsn: SqliteDsn }
  /** `address` is what stands behind the scheme; it may hold a password. */
  | { readonly kind: DatabaseKind; readonly scheme: string; readonly address: string }
  /** An etcd that others run: clients are pointed to it. Each server has its scheme. */
  | { readonly kind: "etcd"; readonly servers: readonly string[] };

type Parse = (address: string, endpoint: string) => Endpoint;

const SCHEMES: Readonly<Record<string, Parse>> = {
  sqlite: (address, endpoint) => ({ kind: "sqlite", dsn: parseSqliteDsn(address, endpoint) }),
  litestream: (address, endpoint) => ({ kind: "sqlite", dsn: parseLitestreamDsn(address, endpoint) }),
  mysql: database("mysql", "mysql"),
  postgres: database("postgres", "postgres"),
  postgresql: database("postgres", "postgresql"),
  nats: database("nats", "nats"),
  jetstream: database("nats", "jetstream"),
  http: etcd,
  https: etcd,
  unix: etcd,
  unixs: etcd,
  memory: unserved("data that is kept in memory only does not survive a restart, and with it the cluster"),
  t4: unserved("the format of t4 cannot be read here"),
  dqlite: unserved("dqlite is not built in"),
};

/**
 * Reads a datastore endpoint by the rules of k3s and kine. Empty is SQLite in its default place. What stands behind
 * the scheme of a database is checked by its driver, see {@link checkEndpoint}. Throws EndpointError.
 */
export function parseEndpoint(text: string): Endpoint {
  if (text === "") return { kind: "sqlite", dsn: { path: undefined, settings: {}, warnings: [] } };
  const end = text.indexOf("://");
  if (end === -1) throw EndpointError.unknownScheme(text, 'it has no scheme, such as "mysql://"');
  const scheme = text.slice(0, end);
  const parse = Object.hasOwn(SCHEMES, scheme) ? SCHEMES[scheme] : undefined;
  if (parse === undefined)
    throw EndpointError.unknownScheme(text, `its scheme is not known: ${quotePart(text, scheme)}`);
  return parse(text.slice(end + 3), text);
}

function database(kind: DatabaseKind, scheme: string): Parse {
  return (address) => ({ kind, scheme, address });
}

function etcd(_address: string, endpoint: string): Endpoint {
  return { kind: "etcd", servers: parseEtcdServers(endpoint) };
}

function unserved(reason: string): Parse {
  return (_address, endpoint) => {
    throw EndpointError.unserved(endpoint, reason);
  };
}
