import type { ServerVariables } from "./mysql-session.ts";

/** Whether several servers take writes for each other: Galera, or a replication group. */
export function isCluster(variables: ServerVariables): boolean {
  return variables.get("wsrep_on") === "ON" || (variables.get("group_replication_group_name") ?? "") !== "";
}

/** It speaks MySQL's protocol, but has neither its engine nor its locks. */
export function isTidb(variables: ServerVariables): boolean {
  return (variables.get("version") ?? "").toLowerCase().includes("tidb");
}
