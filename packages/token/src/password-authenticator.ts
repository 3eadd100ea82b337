import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { sleep } from "@k3s/async";
import type { PasswdEntry } from "./passwd-file.ts";

/** A user whose password was right. */
interface AuthenticatedUser {
  readonly name: string;
  readonly uid: string;
  readonly groups: readonly string[];
}

/**
 * `rejected`: the user exists, the password is wrong (upstream: invalid username/password combination).
 * `unknown`: not one of ours, somebody else may know. `busy`: too many guesses wait for their answer; try later.
 */
export type Verdict =
  { readonly kind: "accepted"; readonly user: AuthenticatedUser } | { readonly kind: "rejected" | "unknown" | "busy" };

interface Account {
  readonly user: AuthenticatedUser;
  /** Keyed digest of the password, with a key that only this object has. */
  readonly digest: Buffer;
}

/** Guesses are answered one after the other, ten in a second, and few may wait: nobody finds a password by trying. */
const GUESS_MS = 100;
const QUEUE_LIMIT = 16;

/**
 * Checks user names and passwords against the passwd file as it was at start. Keeps no password. The right one is accepted at once,
 * whatever else is asked at the time; only wrong ones wait.
 */
export class PasswordAuthenticator {
  readonly #accounts = new Map<string, Account>();
  readonly #queueLimit: number;
  readonly #digestKey = randomBytes(32);
  #tail: Promise<void> = Promise.resolve();
  #waiting = 0;

  /** An entry without a password matches nobody. */
  constructor(entries: readonly PasswdEntry[], queueLimit = QUEUE_LIMIT) {
    this.#queueLimit = queueLimit;
    for (const { user: name, uid, groups, password } of entries) {
      if (password === "") continue;
      this.#accounts.set(name, { user: { name, uid, groups }, digest: this.#digestOf(password) });
    }
  }

  async check(name: string, password: string): Promise<Verdict> {
    const account = this.#accounts.get(name);
    if (account === undefined) return { kind: "unknown" };
    if (timingSafeEqual(account.digest, this.#digestOf(password))) return { kind: "accepted", user: account.user };
    if (this.#waiting >= this.#queueLimit) return { kind: "busy" };
    await this.#turnOfGuess();
    return { kind: "rejected" };
  }

  #digestOf(password: string): Buffer {
    return createHmac("sha256", this.#digestKey).update(password).digest();
  }

  async #turnOfGuess(): Promise<void> {
    this.#waiting += 1;
    this.#tail = this.#tail.then(() => sleep(GUESS_MS)); // never rejects: nothing cancels it
    await this.#tail;
    this.#waiting -= 1;
  }
}
