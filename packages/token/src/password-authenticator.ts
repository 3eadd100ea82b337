import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import type { PasswdEntry } from "./passwd-file.ts";
import { hashPassword, matchesHash } from "./scrypt-hash.ts";

/** A user whose password was right. */
interface AuthenticatedUser {
  readonly name: string;
  readonly uid: string;
  readonly groups: readonly string[];
}

/**
 * `rejected`: the user exists, the password is wrong (upstream: invalid username/password combination).
 * `unknown`: not one of ours, somebody else may know. `busy`: too many wait to be checked; try later.
 */
export type Verdict =
  { readonly kind: "accepted"; readonly user: AuthenticatedUser } | { readonly kind: "rejected" | "unknown" | "busy" };

interface Account {
  readonly user: AuthenticatedUser;
  readonly hash: string;
  /** Keyed digest of the password last found right, so that only the first use of it costs a slow hash. */
  accepted: Buffer | undefined;
}

/** A slow hash takes 32 MiB and a tenth of a second: strangers get one at a time, and a short queue. */
const QUEUE_LIMIT = 16;

/** Checks user names and passwords against the passwd file as it was at start. Keeps hashes only. */
export class PasswordAuthenticator {
  readonly #accounts: ReadonlyMap<string, Account>;
  readonly #queueLimit: number;
  readonly #digestKey = randomBytes(32);
  #tail: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  private constructor(accounts: ReadonlyMap<string, Account>, queueLimit: number) {
    this.#accounts = accounts;
    this.#queueLimit = queueLimit;
  }

  /** Hashes the passwords of the entries; an entry without a password matches nobody. */
  static async create(entries: readonly PasswdEntry[], queueLimit = QUEUE_LIMIT): Promise<PasswordAuthenticator> {
    const accounts = new Map<string, Account>();
    for (const { user: name, uid, groups, password } of entries) {
      if (password === "") continue;
      accounts.set(name, { user: { name, uid, groups }, hash: await hashPassword(password), accepted: undefined });
    }
    return new PasswordAuthenticator(accounts, queueLimit);
  }

  async check(name: string, password: string): Promise<Verdict> {
    const account = this.#accounts.get(name);
    if (account === undefined) return { kind: "unknown" };
    const digest = createHmac("sha256", this.#digestKey).update(password).digest();
    if (account.accepted !== undefined && timingSafeEqual(account.accepted, digest)) {
      return { kind: "accepted", user: account.user };
    }
    if (this.#waiting >= this.#queueLimit) return { kind: "busy" };
    if (!(await this.#inTurn(() => matchesHash(password, account.hash)))) return { kind: "rejected" };
    account.accepted = digest;
    return { kind: "accepted", user: account.user };
  }

  async #inTurn(check: () => Promise<boolean>): Promise<boolean> {
    this.#waiting += 1;
    const turn = this.#tail.then(check);
    this.#tail = turn.catch(() => undefined);
    try {
      return await turn;
    } finally {
      this.#waiting -= 1;
    }
  }
}
