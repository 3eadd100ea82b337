import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { retry } from "@k3s/async";
import { ApiError, isConflict, type KubeClient, type KubeObject } from "@k3s/kube-client";
import type { Logger } from "@k3s/log";
import { hashPassword, matchesHash } from "@k3s/token";

/** A node and the password it shows. */
export interface NodeCredentials {
  readonly name: string;
  readonly password: string;
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
const RETRY = { delayMinMs: 5_000, delayMaxMs: 5_000 };

type Secret = KubeObject & { readonly data?: Readonly<Record<string, string>> };

/** The passwords of nodes, as scrypt hashes in Secrets of kube-system (k3s's format). */
export class NodePasswords {
  readonly #log: Logger;
  readonly #stopping: AbortSignal;
  readonly #digestKey = randomBytes(32);
  /** Hash in the Secret to the keyed digest of the password that was found to match it. */
  readonly #proven = new Map<string, Buffer>();
  #tail: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  /** Work in the background ends with `stopping`. */
  constructor(log: Logger, stopping: AbortSignal) {
    this.#log = log;
    this.#stopping = stopping;
  }

  /**
   * Compares with the Secret of the node, which is made with the first password shown. When it cannot be made for a
   * reason of the API (a webhook that is down), the node is let in and the Secret is made later, as k3s does.
   */
  async verify(client: KubeClient, credentials: NodeCredentials, signal: AbortSignal): Promise<PasswordVerdict> {
    const hash = await readHash(client, credentials.name, signal);
    if (hash !== undefined) return await this.#compare(credentials.password, hash);
    try {
      return await this.#create(client, credentials, signal);
    } catch (error) {
      if (signal.aborted || this.#stopping.aborted) throw error;
      this.#log.warn({ error, node: credentials.name }, "node let in before its password could be stored");
      void this.#createLater(client, credentials);
      return "right";
    }
  }

  async #create(client: KubeClient, credentials: NodeCredentials, signal: AbortSignal): Promise<PasswordVerdict> {
    const { name, password } = credentials;
    const hash = await this.#inTurn(() => hashPassword(password));
    if (hash === "busy") return "busy";
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

  async #createLater(client: KubeClient, credentials: NodeCredentials): Promise<void> {
    try {
      await retry((attempt) => this.#create(client, credentials, attempt), RETRY, this.#stopping);
    } catch {
      // We are being stopped; the node shows its password again at its next start.
    }
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
