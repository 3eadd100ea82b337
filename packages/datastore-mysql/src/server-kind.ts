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

/**
 * The consistency with which a session reads nothing that is older than what another member of a replication group has acknowledged.
 * Undefined: the session has it, or the server knows no groups.
 */
export function groupConsistency(variables: ServerVariables): "BEFORE" | "BEFORE_AND_AFTER" | undefined {
  const consistency = variables.get("group_replication_consistency")?.toUpperCase();
  if (consistency === undefined || consistency.startsWith("BEFORE_AND") || consistency === "BEFORE") return undefined;
  return consistency === "AFTER" ? "BEFORE_AND_AFTER" : "BEFORE";
}
