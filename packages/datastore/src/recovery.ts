import { retry } from "@k3s/async";
import type { Logger } from "@k3s/log";
import { CatchUp } from "./catch-up.ts";
import { foreignRowsOf, type Driver } from "./driver.ts";
import { toEvent } from "./draft.ts";
import { LostHistoryError } from "./history-check.ts";
import type { Leases } from "./leases.ts";
import type { MvccIndex } from "./mvcc-index.ts";
import { RowLoader } from "./row-loader.ts";
import type { Unleased } from "./row-reader.ts";
import type { ValueCache } from "./value-cache.ts";
import { isLive } from "./version.ts";
import type { WatchHub } from "./watch-hub.ts";

/** Who fails over may be led to a server for a moment that has not got everything yet. */
const LOSS_LASTS_MS = 3000;

interface RecoveryParts {
  readonly driver: Driver;
  readonly index: MvccIndex;
  readonly values: ValueCache;
  readonly leases: Leases;
  readonly hub: WatchHub;
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** Gives leases to keys that another program wrote with a time to live only, when it is their turn. */
  readonly adopt: (unleased: readonly Unleased[]) => void;
}

/** After a failed commit: what is on disk is the truth, whoever wrote it. */
export class Recovery {
  readonly #parts: RecoveryParts;
  readonly #catchUp: CatchUp | undefined;

  constructor(parts: RecoveryParts) {
    this.#parts = parts;
    const { shared, guests } = parts.driver;
    const others = shared ?? guests;
    const syncLeases = () => this.#syncLeases();
    this.#catchUp = others === undefined ? undefined : new CatchUp({ ...parts, others, syncLeases });
  }

  /** Reads what is new on disk and tells the watches. Tries until it works or the store closes; the log is told of the first failure of each kind. */
  async run(onFailure: (error: unknown) => void, withLeases: boolean): Promise<void> {
    const { signal, log } = this.#parts;
    let isTold = false;
    const tellLoss = lossTeller(log);
    const onRetry = (error: unknown) => {
      const isLoss = error instanceof LostHistoryError;
      if (isLoss) tellLoss(error);
      else log.log(isTold ? "debug" : "warn", { error }, "cannot read the datastore after a failure, trying again");
      isTold ||= !isLoss;
      onFailure(error);
    };
    try {
      await this.#readBack({ delayMinMs: 50, delayMaxMs: 500, onRetry }, withLeases);
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  async #readBack(policy: Parameters<typeof retry>[1], withLeases: boolean): Promise<void> {
    const { driver, signal, adopt } = this.#parts;
    const { shared } = driver;
    // Beside a guest nobody else asks for leases later: those of a commit that failed may be stored.
    const wantsLeases = withLeases || shared === undefined;
    const catchUp = foreignRowsOf(driver) === undefined ? undefined : this.#catchUp;
    // Not now: a commit would use up the claim of whoever is to be planned anew.
    adopt(
      catchUp === undefined ? await this.#reload(policy) : await retry(() => catchUp.run(wantsLeases), policy, signal),
    );
  }

  async #syncLeases(): Promise<void> {
    const { driver, leases } = this.#parts;
    if (driver.shared !== undefined) await leases.syncWith(driver.shared);
    else leases.sync((await driver.side()).leases);
  }

  async #reload(policy: Parameters<typeof retry>[1]): Promise<readonly Unleased[]> {
    const { driver, index, values, leases, hub, log, signal } = this.#parts;
    const loader = new RowLoader(driver, index, log);
    const { versions, side, unleased } = await retry(() => loader.read(), policy, signal);
    leases.sync(side.leases);
    leases.attach(versions);
    const needed = versions.flatMap((version) => [version, version.previous]).filter(isLive);
    const found = await retry(() => values.load(needed), policy, signal);
    const events = versions.map((version) => toEvent(version, version.previous, found));
    // In one turn: what a watch finds in the index it is not told again.
    loader.show();
    hub.publish(events, index.committed);
    return unleased;
  }
}

/** Tells the log of a database that lacks changes: once, when that has lasted. */
function lossTeller(log: Logger): (error: LostHistoryError) => void {
  const foundAt = { first: Infinity, isTold: false };
  return (error) => {
    const now = performance.now();
    foundAt.first = Math.min(foundAt.first, now);
    const isDue = !foundAt.isTold && now - foundAt.first >= LOSS_LASTS_MS;
    log.log(isDue ? "error" : "debug", { error, cure: error.cure }, "the database has gone back, nothing is served");
    foundAt.isTold ||= isDue;
  };
}
