/** Somebody who says which addresses it has. */
export interface Claimant {
  readonly key: string;
  /** Of two that claim the same address the lower one is believed; no two are the same. */
  readonly rank: string;
  readonly addresses: readonly string[];
}

/** Who has which address. Claims are what others say of themselves: a later one never takes an address away. */
export class AddressClaims<T extends Claimant> {
  readonly #claimants = new Map<string, T>();
  readonly #byAddress = new Map<string, Set<T>>();

  /** A claimant was added or has changed. */
  set(claimant: T): void {
    this.remove(claimant.key);
    this.#claimants.set(claimant.key, claimant);
    for (const address of claimant.addresses) {
      const claims = this.#byAddress.get(address) ?? new Set();
      this.#byAddress.set(address, claims.add(claimant));
    }
  }

  remove(key: string): void {
    const claimant = this.#claimants.get(key);
    if (claimant === undefined) return;
    this.#claimants.delete(key);
    for (const address of claimant.addresses) {
      const claims = this.#byAddress.get(address);
      claims?.delete(claimant);
      if (claims?.size === 0) this.#byAddress.delete(address);
    }
  }

  /** Forgets all others. */
  retain(keys: ReadonlySet<string>): void {
    for (const key of [...this.#claimants.keys()]) if (!keys.has(key)) this.remove(key);
  }

  get(key: string): T | undefined {
    return this.#claimants.get(key);
  }

  holderOf(address: string): T | undefined {
    let holder: T | undefined;
    for (const claimant of this.#byAddress.get(address) ?? [])
      if (holder === undefined || claimant.rank < holder.rank) holder = claimant;
    return holder;
  }
}
