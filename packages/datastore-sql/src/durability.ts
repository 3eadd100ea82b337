import type { Logger } from "@k3s/log";

/** A setting of a database server by which a crash takes writes that it has acknowledged. */
export interface Weakness {
  /** With its value, as `fsync=off`. */
  readonly setting: string;
  /** What takes which writes. */
  readonly loss: string;
  /** What to run or to write where. */
  readonly cure: string;
}

/** Tells the log of each weakness of each server once, however many sessions find it. */
export class DurabilityNotes {
  readonly #log: Logger;
  readonly #told = new Set<string>();

  constructor(log: Logger) {
    this.#log = log;
  }

  /** What a new session with `server` has found there. */
  note(server: string, weaknesses: readonly Weakness[]): void {
    for (const { setting, loss, cure } of weaknesses) {
      const told = `${server} ${setting}`;
      if (this.#told.has(told)) continue;
      this.#told.add(told);
      this.#log.warn({ server, setting, loss, hint: cure }, "the database server can lose acknowledged writes");
    }
  }
}

/** A weakness as a sentence for people. */
export function describeWeakness({ setting, loss, cure }: Weakness): string {
  return `the database server has ${setting}: ${loss}. ${cure}`;
}
