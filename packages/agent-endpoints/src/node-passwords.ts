import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { ApiError, isConflict, type KubeClient, type KubeObject } from "@k3s/kube-client";
import type { Logger } from "@k3s/log";
import { hashPassword, matchesHash } from "@k3s/token";
import { DeferredPasswords, isOutage } from "./deferred-passwords.ts";

/** A node and the password it shows. */
export interface NodeCredentials {
  readonly name: string;
  readonly password: string;
}

interface HashedCredentials extends NodeCredentials {
  readonly hash: string;
}

/** `busy`: too many wait to be checked; try later. */
export type PasswordVerdict = "right" | "wrong" | "busy";

export const SECRETS = "/api/v1/namespaces/kube-system/secrets";
export const SECRET_TYPE = "k3s.cattle.io/node-password";
export const SECRET_SUFFIX = ".node-password.k3s";

/** A slow hash takes 32 MiB: one at a time, and a queue that a whole cluster fits in when it starts at once. */
const QUEUE_LIMIT = 256;
/** Remembered proofs; each saves the slow hash for the second certificate of a join. */
const PROVEN_MAX = 4096;

type Secret = KubeObject & { readonly data?: Readonly<Record<string, string>> };

/** The passwords of nodes, as scrypt hashes in Secrets of kube-system (k3s's format). */
export class NodePasswords {
  readonly #log: Logger;
  readonly #deferred: DeferredPasswords;
  readonly #digestKey = randomBytes(32);
  /** Hash in the Secret to the keyed digest of the password that was found to match it. */
  readonly #proven = new Map<string, Buffer>();
  #tail: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  /** Work in the background ends with `stopping`. */
  constructor(log: Logger, stopping: AbortSignal) {
    this.#log = log;
    this.#deferred = new DeferredPasswords(log, stopping);
  }

  /**
   * Compares with the Secret of the node, which is made with the first password shown. When it cannot be made because
   * the API fails (a webhook that is down), the node is let in and the Secret is made later, as k3s does; until then
   * that password is the node's. Rejects with ApiError for what the API refuses.
   */
  async verify(client: KubeClient, credentials: NodeCredentials, signal: AbortSignal): Promise<PasswordVerdict> {
    const { name, password } = credentials;
    const hash = await readHash(client, name, signal);
    if (hash !== undefined) return await this.#compare(password, hash);
    const letInBy = this.#deferred.digestOf(name);
    if (letInBy !== undefined) return timingSafeEqual(letInBy, this.#digest(password)) ? "right" : "wrong";
    const fresh = await this.#inTurn(() => hashPassword(password));
    if (fresh === "busy") return "busy";
    try {
      return await this.#store(client, { name, password, hash: fresh }, signal);
    } catch (error) {
      if (error instanceof ApiError && error.status === 429) return "busy";
      if (signal.aborted || !isOutage(error)) throw error;
      return this.#letIn(client, { name, password, hash: fresh }, error);
    }
  }

  async #store(client: KubeClient, credentials: HashedCredentials, signal: AbortSignal): Promise<PasswordVerdict> {
    const { name, password, hash } = credentials;
    try {
      await client.create(SECRETS, secretOf(name, hash), signal);
      this.#remember(password, hash);
      return "right";
    } catch (error) {
      if (!isConflict(error)) throw error;
      const other = await readHash(client, name, signal); // another server was faster
      return other === undefined ? "busy" : await this.#compare(password, other);
    }
  }

  #letIn(client: KubeClient, credentials: HashedCredentials, error: unknown): PasswordVerdict {
    const { name, password } = credentials;
    const letInBy = this.#deferred.digestOf(name); // somebody else may have come meanwhile
    const digest = this.#digest(password);
    if (letInBy !== undefined) return timingSafeEqual(letInBy, digest) ? "right" : "wrong";
    const settle = async (signal: AbortSignal) => {
      const verdict = await this.#store(client, credentials, signal);
      if (verdict === "busy") throw new Error("too many passwords wait to be checked");
      return verdict;
    };
    if (!this.#deferred.add(client, { name, digest, settle })) return "busy";
    this.#log.warn({ error, node: name }, "node let in before its password could be stored");
    return "right";
  }

  async #compare(password: string, hash: string): Promise<PasswordVerdict> {
    const known = this.#proven.get(hash);
    if (known !== undefined && timingSafeEqual(known, this.#digest(password))) return "right";
    const matches = await this.#inTurn(() => matchesHash(password, hash));
    if (matches === "busy") return "busy";
    if (matches) this.#remember(password, hash);
    return matches ? "right" : "wrong";
  }

  #remember(password: string, hash: string): void {
    if (this.#proven.size >= PROVEN_MAX) this.#proven.clear();
    this.#proven.set(hash, this.#digest(password));
  }

  #digest(password: string): Buffer {
    return createHmac("sha256", this.#digestKey).update(password).digest();
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T | "busy"> {
    if (this.#waiting >= QUEUE_LIMIT) return "busy";
    this.#waiting += 1;
    const turn = this.#tail.then(work);
    this.#tail = turn.catch(() => undefined);
    try {
      return await turn;
    } finally {
      this.#waiting -= 1;
    }
  }
}

async function readHash(client: KubeClient, name: string, signal: AbortSignal): Promise<string | undefined> {
  try {
    const secret = await client.get<Secret>(`${SECRETS}/${encodeURIComponent(name + SECRET_SUFFIX)}`, signal);
    return Buffer.from(secret.data?.["hash"] ?? "", "base64").toString("utf8");
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return undefined;
    throw error;
  }
}

function secretOf(name: string, hash: string): object {
  return {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: `${name}${SECRET_SUFFIX}`, namespace: "kube-system" },
    type: SECRET_TYPE,
    immutable: true,
    data: { hash: Buffer.from(hash).toString("base64") },
  };
}
