/** Somebody who says which addresses it has. */
export interface Claimant {
  readonly key: string;
  readonly addresses: readonly string[];
}

/** What there is to a claim. `shown`: more than the claimant's word; `said`: no more than that; `void`: it never counts. */
export type Standing = "shown" | "said" | "void";

export interface ClaimRules<T> {
  /** Asked anew each time. */
  readonly standing: (claimant: T, address: string) => Standing;
  /** Of several that stand the same and did not have the address before: one, or undefined for nobody. */
  readonly choose: (rivals: readonly T[]) => T | undefined;
}

/**
 * Who has which address, by what each says of itself. Who has an address keeps it while it claims it, whoever else comes
 * to claim it; only one that shows it takes it from one that does not.
 */
export class AddressClaims<T extends Claimant> {
  readonly #rules: ClaimRules<T>;
  readonly #claimants = new Map<string, T>();
  readonly #claims = new Map<string, Set<string>>();
  readonly #holders = new Map<string, string>();

  constructor(rules: ClaimRules<T>) {
    this.#rules = rules;
  }

  /** A claimant was added or has changed. */
  set(claimant: T): void {
    this.#settle(this.#enter(claimant));
  }

  /** These are all, and came at the same time: none of the new ones was before another. */
  setAll(claimants: readonly T[]): void {
    const keys = new Set(claimants.map(({ key }) => key));
    const gone = [...this.#claimants.keys()].filter((key) => !keys.has(key));
    this.#settle([...gone.flatMap((key) => this.#leave(key)), ...claimants.flatMap((one) => this.#enter(one))]);
  }

  remove(key: string): void {
    this.#settle(this.#leave(key));
  }

  get(key: string): T | undefined {
    return this.#claimants.get(key);
  }

  holderOf(address: string): T | undefined {
    const rivals = this.rivalsFor(address);
    const before = this.#holders.get(address);
    const holder = rivals.find(({ key }) => key === before) ?? this.#rules.choose(rivals);
    if (holder === undefined) this.#holders.delete(address);
    else this.#holders.set(address, holder.key);
    return holder;
  }

  /** Those whose claims of an address stand best. */
  rivalsFor(address: string): readonly T[] {
    const said: T[] = [];
    const shown: T[] = [];
    for (const key of this.#claims.get(address) ?? []) {
      const claimant = this.#claimants.get(key);
      if (claimant === undefined) continue;
      const standing = this.#rules.standing(claimant, address);
      if (standing === "shown") shown.push(claimant);
      if (standing === "said") said.push(claimant);
    }
    return shown.length > 0 ? shown : said;
  }

  /** The addresses whose holder may be another one now. */
  #enter(claimant: T): readonly string[] {
    const { key, addresses } = claimant;
    const left = this.#leave(key);
    this.#claimants.set(key, claimant);
    for (const address of addresses) this.#claims.set(address, (this.#claims.get(address) ?? new Set()).add(key));
    return [...left, ...addresses];
  }

  #leave(key: string): readonly string[] {
    const { addresses = [] } = this.#claimants.get(key) ?? {};
    this.#claimants.delete(key);
    for (const address of addresses) {
      const claims = this.#claims.get(address);
      claims?.delete(key);
      if (claims?.size === 0) this.#claims.delete(address);
    }
    return addresses;
  }

  /** Before anybody else claims them. */
  #settle(addresses: readonly string[]): void {
    for (const address of new Set(addresses)) this.holderOf(address);
  }
}
