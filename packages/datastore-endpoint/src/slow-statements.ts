import type { Logger } from "@k3s/log";
import type { SlowSeverity } from "./datastore-metrics.ts";
import { guideOf, type DrivenKind, type StatementName } from "./statement-guide.ts";

/** From which time on a statement is worth a line; in ms. 0 or less: never. */
export interface SlowThresholds {
  readonly infoMs: number;
  readonly warnMs: number;
}

/** kine's own. */
export const slowThresholds: SlowThresholds = { infoMs: 1000, warnMs: 5000 };

/** A statement that has ended. */
export interface EndedStatement {
  readonly statement: StatementName;
  readonly durationMs: number;
  /** How many rows it was about; undefined where that says nothing. */
  readonly rows: number | undefined;
}

/** Tells the log of slow statements, with the table they were about and what to do. */
export class SlowStatements {
  readonly #log: Logger;
  readonly #kind: DrivenKind;
  readonly #thresholds: SlowThresholds;

  constructor(options: { readonly log: Logger; readonly kind: DrivenKind; readonly thresholds: SlowThresholds }) {
    this.#log = options.log;
    this.#kind = options.kind;
    this.#thresholds = options.thresholds;
  }

  /** How bad it was; undefined when nothing was said. */
  note({ statement, durationMs, rows }: EndedStatement): SlowSeverity | undefined {
    const { infoMs, warnMs } = this.#thresholds;
    if (infoMs <= 0 || durationMs < infoMs) return undefined;
    const { table, cure } = guideOf(statement, this.#kind);
    const severity = durationMs < warnMs ? "info" : "warn";
    this.#log[severity](
      {
        statement,
        ...(table === undefined ? {} : { table }),
        durationMs: Math.round(durationMs),
        ...(rows === undefined ? {} : { rows }),
        cure,
      },
      "slow statement of the datastore",
    );
    return severity;
  }
}
