import type { Logger } from "@k3s/log";
import type { SlowSeverity } from "./datastore-metrics.ts";
import type { Endpoint } from "./endpoint.ts";

/** From which time on a statement is worth a line; in ms. 0 or less: never. */
export interface SlowThresholds {
  readonly infoMs: number;
  readonly warnMs: number;
}

/** kine's own. */
export const slowThresholds: SlowThresholds = { infoMs: 1000, warnMs: 5000 };

/** A statement that has ended. */
export interface EndedStatement {
  readonly statement: string;
  readonly durationMs: number;
  /** How many rows it was about; undefined where that says nothing. */
  readonly rows: number | undefined;
}

type DatabaseKind = Exclude<Endpoint["kind"], "etcd">;
type StatementClass = "write" | "read" | "scan" | "delete" | "housekeeping";

const CLASSES: Readonly<Record<string, StatementClass>> = {
  commit: "write",
  claim: "write",
  values: "read",
  changes: "read",
  position: "read",
  leases: "read",
  heads: "scan",
  side: "scan",
  prune: "delete",
};

const CURES: Readonly<Record<StatementClass, string>> = {
  write: "",
  read: "rows are read by primary key: look for a busy disk or a missing primary key",
  scan: "the whole table is read at the start: compact it, and look for a busy disk",
  delete: "compaction deletes by primary key: look for a busy disk and for other programs that lock the table",
  housekeeping: "",
};

const WRITE_CURES: Readonly<Record<DatabaseKind, string>> = {
  sqlite: "each commit waits for the disk: put the data dir on an SSD, and other programs that write on another disk",
  mysql:
    "look for a slow disk of the database server (innodb_flush_log_at_trx_commit), a slow network, and locks (SHOW ENGINE INNODB STATUS)",
  postgres:
    "look for a slow disk of the database server (pg_stat_activity shows WALSync), a slow network, and locks (pg_locks)",
  nats: "look for a slow disk of the NATS servers, a slow network, and a stream without leader (nats stream info)",
};

/** Tells the log of slow statements, with the table they were about and what to do. */
export class SlowStatements {
  readonly #log: Logger;
  readonly #kind: DatabaseKind;
  readonly #thresholds: SlowThresholds;

  constructor(options: { readonly log: Logger; readonly kind: DatabaseKind; readonly thresholds: SlowThresholds }) {
    this.#log = options.log;
    this.#kind = options.kind;
    this.#thresholds = options.thresholds;
  }

  /** How bad it was; undefined when nothing was said. */
  note({ statement, durationMs, rows }: EndedStatement): SlowSeverity | undefined {
    const { infoMs, warnMs } = this.#thresholds;
    if (infoMs <= 0 || durationMs < infoMs) return undefined;
    const severity = durationMs < warnMs ? "info" : "warn";
    this.#log[severity](
      {
        statement,
        table: this.#kind === "nats" ? "the bucket" : "kine",
        durationMs: Math.round(durationMs),
        ...(rows === undefined ? {} : { rows }),
        ...this.#cure(statement),
      },
      "slow statement of the datastore",
    );
    return severity;
  }

  #cure(statement: string): { readonly cure?: string } {
    const kind = CLASSES[statement] ?? "housekeeping";
    const cure = kind === "write" ? WRITE_CURES[this.#kind] : CURES[kind];
    return cure === "" ? {} : { cure };
  }
}
