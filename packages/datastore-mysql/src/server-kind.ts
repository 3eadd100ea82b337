import type { ServerVariables } from "./mysql-session.ts";

/** What tells a server from others: connection ids mean nothing to another one. `server_uuid` is MySQL's, `server_uid` newer MariaDBs'. */
const NAMES = ["hostname", "port", "server_uuid", "server_uid"] as const;

/** Whether both were read from one server. */
export function isSameServer(one: ServerVariables, other: ServerVariables): boolean {
  return NAMES.every((name) => one.get(name) === other.get(name));
}

/** Whether several servers take writes for each other: Galera, or a replication group. */
export function isCluster(variables: ServerVariables): boolean {
  return variables.get("wsrep_on") === "ON" || (variables.get("group_replication_group_name") ?? "") !== "";
}

/** It speaks MySQL's protocol, but has neither its engine nor its locks. */
export function isTidb(variables: ServerVariables): boolean {
  return (variables.get("version") ?? "").toLowerCase().includes("tidb");
}
