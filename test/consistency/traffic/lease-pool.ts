import type { TrafficClient } from "./client.ts";
import type { Random } from "./random.ts";

/** Leases that are left to end are this long; servers raise shorter ones. */
export const SHORT_TTL_SECONDS = 2;
const LONG_TTL_SECONDS = 600;
const LEASES_MAX = 6;
/** The newest of those that were revoked: a server may not have heard of their end. */
const REVOKED_ASKED = 3;

interface Granted {
  readonly id: number;
  readonly isShort: boolean;
}

/** The leases that all clients of a round share. */
export class Leases {
  readonly #granted: Granted[] = [];
  readonly #revoked: Granted[] = [];
  readonly #withShort: boolean;
  readonly #firstId: number;
  #count = 0;

  /** `withShort`: also grants some that end while the round goes on, or soon after. */
  constructor(options: { readonly withShort: boolean; readonly firstId: number }) {
    this.#withShort = options.withShort;
    this.#firstId = options.firstId;
  }

  /** A lease that was granted once, now and then one that was revoked; mostly 0, for none. */
  any(random: Random): number {
    if (!random.chance(0.3)) return 0;
    const from = random.chance(0.1) ? this.#revoked : this.#granted;
    return from[random.below(from.length)]?.id ?? 0;
  }

  /** Grants, renews, asks about or revokes one; now and then one that was revoked, which has to stay so. */
  async tend(client: TrafficClient, random: Random): Promise<void> {
    const revoked = this.#revoked.at(-1 - random.below(REVOKED_ASKED));
    if (revoked !== undefined && random.chance(0.15)) {
      await client.perform({ kind: random.pick(["leaseKeepAlive", "leaseTimeToLive", "leaseRevoke"]), id: revoked.id });
      return;
    }
    const lease = this.#granted[random.below(this.#granted.length)];
    if (lease === undefined || (this.#granted.length < LEASES_MAX && random.chance(0.5))) {
      await this.#grant(client, random);
      return;
    }
    const { id } = lease;
    const kind = random.weighted<"leaseKeepAlive" | "leaseTimeToLive" | "leaseRevoke">([
      [4, "leaseKeepAlive"],
      [3, "leaseTimeToLive"],
      [2, "leaseRevoke"],
    ]);
    if (kind === "leaseRevoke") this.#forget(id);
    await client.perform({ kind, id });
  }

  /** Ends all that do not end by themselves. */
  async revokeLong(client: TrafficClient): Promise<void> {
    for (const { id, isShort } of this.#granted.splice(0)) {
      if (!isShort) await client.perform({ kind: "leaseRevoke", id });
    }
  }

  async #grant(client: TrafficClient, random: Random): Promise<void> {
    const isShort = this.#withShort && random.chance(0.5);
    const id = this.#firstId + this.#count++;
    const ttl = isShort ? SHORT_TTL_SECONDS : LONG_TTL_SECONDS;
    await client.perform({ kind: "leaseGrant", id, ttl });
    this.#granted.push({ id, isShort }); // also after an unknown outcome: it may be there
  }

  #forget(id: number): void {
    const index = this.#granted.findIndex((lease) => lease.id === id);
    if (index >= 0) this.#revoked.push(...this.#granted.splice(index, 1));
  }
}
