import type { Logger } from "@k3s/log";
import { MysqlError } from "./errors.ts";
import type { ServerVariables } from "./mysql-session.ts";

/** A request of etcd's size, written as hexadecimal digits. */
const PACKET_BYTES_MIN = 4 * 1024 * 1024;

/** Throws MysqlError for settings under which commits cannot work, and warns of those that hold others up. */
export function checkServer(variables: ServerVariables, log: Logger): void {
  const packetBytes = Number(variables.get("max_allowed_packet") ?? 0);
  if (packetBytes < PACKET_BYTES_MIN) throw MysqlError.smallPackets(packetBytes);
  // READ COMMITTED writes row images only.
  if (variables.get("log_bin") === "ON" && variables.get("binlog_format") === "STATEMENT")
    throw MysqlError.statementLog();
  const step = variables.get("auto_increment_increment") ?? "1";
  if (step !== "1")
    log.warn(
      { step, hint: "Set auto_increment_increment to 1; on Galera switch wsrep_auto_increment_control off first" },
      "kine on the same database would leave ids out, and each of them would hold watches up",
    );
}
