import { startEtcdServer } from "./etcd-server.ts";
import { startOwnServer } from "./own-server.ts";
import type { CaseServer, ServerKind, ServerOptions } from "./server-kind.ts";

export { SERVER_KINDS, type CaseServer, type ServerKind, type ServerOptions } from "./server-kind.ts";

/** Starts a server; who calls it disposes of it. */
export function startServer(kind: ServerKind, options: ServerOptions = {}): Promise<CaseServer> {
  return kind === "etcd" ? startEtcdServer(options) : startOwnServer(kind, options);
}
