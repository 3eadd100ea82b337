import { nextTurn } from "@k3s/async";
import type { Logger } from "@k3s/log";
import type { Claim, SharedDatabase } from "./driver.ts";

/** After a conflict others wait for our next commit, so that a busy server does not keep a slow one out for ever. */
export class Turn {
  readonly #shared: SharedDatabase | undefined;
  readonly #log: Logger;
  #claim: Claim | undefined;

  constructor(shared: SharedDatabase | undefined, log: Logger) {
    this.#shared = shared;
    this.#log = log;
  }

  /** Never rejects: a claim is a matter of fairness, and the next commit says what is wrong. */
  async take(): Promise<void> {
    try {
      this.#claim = await this.#shared?.claim();
    } catch (error) {
      this.#log.debug({ error }, "cannot claim the next commit");
    }
  }

  /** Once the commits are through that were planned in this turn of the event loop; `busy` gives the work under way. */
  async giveBack(busy: () => Promise<void> | undefined): Promise<void> {
    try {
      await nextTurn();
      await busy();
      await this.#claim?.release();
    } catch (error) {
      this.#log.debug({ error }, "cannot give back a claim");
    }
  }
}
