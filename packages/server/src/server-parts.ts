import type { ComponentSet } from "@k3s/components";
import type { ServerConfig } from "@k3s/config";
import type { ApiClients, ApiClientsOptions } from "@k3s/node";
import { serverTlsPaths } from "@k3s/pki";
import type { RecordsPlace } from "@k3s/process";
import type { DatastorePart } from "./datastore-part.ts";
import type { ServerHost } from "./server-host.ts";

/** What every part of a server is made from. */
export interface ServerParts {
  readonly config: ServerConfig;
  readonly host: ServerHost;
  readonly set: ComponentSet;
  /** Environment of the supervised programs. */
  readonly env: Readonly<Record<string, string>>;
  readonly records: RecordsPlace;
  /** As the supervisor; usable once the API serves. */
  readonly clients: ApiClients;
  readonly datastore: DatastorePart;
}

/** The house speaks to kube-apiserver itself, not through its own port. */
export function apiServerAccess(config: ServerConfig): Omit<ApiClientsOptions, "identities"> {
  const address = config.loopbackAddress === "::1" ? "[::1]" : config.loopbackAddress;
  const { serverCa } = serverTlsPaths(config.paths.serverDir);
  return { server: `https://${address}:${config.apiserverPort}`, caFile: serverCa.cert };
}
