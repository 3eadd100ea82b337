import type { DatabaseKind } from "./endpoint.ts";

/** What the store asks of a driver. */
export type StatementName =
  | "changes"
  | "claim"
  | "clock"
  | "commit"
  | "defragment"
  | "heads"
  | "leases"
  | "position"
  | "prune"
  | "side"
  | "size"
  | "snapshot"
  | "values";

/** A database with a driver. */
export type DrivenKind = DatabaseKind | "sqlite";

/** What a statement is about, and why it can be slow. */
export interface StatementGuide {
  /** Absent: it reads no table. */
  readonly table?: string;
  readonly cure: string;
}

type Tables = "rows" | "leases" | "side" | "lock" | "all" | "none";
type Cause = "write" | "lock" | "read" | "lookup" | "load" | "space";

const SIDE = "kine_lease, kine_lease_row, kine_span";
const SQL_TABLES = { rows: "kine", leases: "kine_lease", side: SIDE, lock: "kine", all: `kine, ${SIDE}` };
const NATS_SIDE = "the bucket whose name ends in -k3s";

const TABLES: Readonly<Record<DrivenKind, Readonly<Record<Exclude<Tables, "none">, string>>>> = {
  sqlite: SQL_TABLES,
  mysql: { ...SQL_TABLES, lock: "kine_lock", all: "kine" },
  postgres: SQL_TABLES,
  nats: { rows: "the bucket", leases: NATS_SIDE, side: NATS_SIDE, lock: NATS_SIDE, all: "the bucket" },
};

const LOOK_FOR: Readonly<Record<Cause, Readonly<Record<DrivenKind, string>>>> = {
  write: {
    sqlite: "put the data dir on an SSD, and other programs that write on another disk",
    mysql: "look for a slow disk of the database server, a slow network, and locks (SHOW ENGINE INNODB STATUS)",
    postgres:
      "look for a slow disk of the database server (pg_stat_activity shows WALSync), a slow network, and locks (pg_locks)",
    nats: "look for a slow disk of the NATS servers, a slow network, and a stream without leader (nats stream info)",
  },
  lock: {
    sqlite: "look for other programs that have the file open",
    mysql: "look for one that hangs or changes much at once (SHOW ENGINE INNODB STATUS, SHOW FULL PROCESSLIST)",
    postgres: "look for one that hangs or changes much at once (pg_locks, pg_stat_activity)",
    nats: "look for one that hangs or changes much at once, and a stream without leader (nats stream info)",
  },
  read: {
    sqlite: "look for a busy disk under the data dir",
    mysql: "look for a busy disk of the database server, a slow network, and a missing primary key (SHOW CREATE TABLE)",
    postgres: "look for a busy disk of the database server, a slow network, and a missing primary key (pg_indexes)",
    nats: "look for a busy disk of the NATS servers and a slow network",
  },
  lookup: {
    sqlite: "look for a busy disk under the data dir",
    mysql: "look for an overloaded server, a slow network, and a missing kine_name_prev_revision_uindex (SHOW INDEX)",
    postgres:
      "look for an overloaded server, a slow network, and a missing kine_name_prev_revision_uindex (pg_indexes)",
    nats: "look for overloaded NATS servers, a slow network, and a stream without leader (nats stream info)",
  },
  load: {
    sqlite: "look for what else keeps this machine busy",
    mysql: "look for what keeps the database server busy (SHOW FULL PROCESSLIST), and for a slow network",
    postgres: "look for what keeps the database server busy (pg_stat_activity), and for a slow network",
    nats: "look for what keeps the NATS servers busy (nats server report jetstream), and for a slow network",
  },
  space: {
    sqlite: "compact first (k3s datastore compact), do it when little is written, and put the data dir on an SSD",
    mysql: "compact first (k3s datastore compact), and do it when little is written, and no long query runs",
    postgres:
      "compact first (k3s datastore compact), and do it when little is written, and no long transaction is open",
    nats: "compact first (k3s datastore compact), and do it when little is written",
  },
};

const STATEMENTS: Readonly<Record<StatementName, readonly [tables: Tables, reason: string, cause: Cause]>> = {
  changes: ["rows", "what others wrote is read by row number, with its values", "read"],
  claim: ["lock", "another writer has the one lock", "lock"],
  clock: ["none", "the clock is asked, no table is read", "load"],
  commit: ["rows", "each commit waits for the disk", "write"],
  defragment: ["all", "what is in use is written anew", "space"],
  heads: ["rows", "all rows are read at the start: compact them (k3s datastore compact)", "read"],
  leases: ["leases", "all leases are read, few and small", "load"],
  position: ["rows", "the last row is looked up, none is read", "lookup"],
  prune: ["rows", "compaction deletes by row number, and waits for whoever locks rows", "lock"],
  side: ["side", "all of it is read at the start: compaction makes it smaller (k3s datastore compact)", "read"],
  size: ["all", "sizes are counted, no rows are read", "load"],
  snapshot: ["all", "the whole file is copied", "space"],
  values: ["rows", "rows are read by their numbers, with their values", "read"],
};

/** What an operator is told of a slow statement. */
export function guideOf(statement: StatementName, kind: DrivenKind): StatementGuide {
  const [tables, reason, cause] = STATEMENTS[statement];
  const cure = `${reason}: ${LOOK_FOR[cause][kind]}`;
  return tables === "none" ? { cure } : { table: TABLES[kind][tables], cure };
}
