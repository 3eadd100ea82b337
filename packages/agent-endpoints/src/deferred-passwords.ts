import { deadline, retry } from "@k3s/async";
import { ApiError, type KubeClient } from "@k3s/kube-client";
import type { Logger } from "@k3s/log";
import { reportNodeEvent } from "./node-event.ts";

/** A password that is to be stored as soon as that is possible. */
export interface DeferredPassword {
  readonly name: string;
  /** Of the password that let the node in. */
  readonly digest: Buffer;
  /** Stores it, or compares it with what somebody else has stored meanwhile. Rejects when neither can be done now. */
  readonly settle: (signal: AbortSignal) => Promise<"right" | "wrong">;
}

/** As often as k3s; that long, since the reason is something that an operator has to mend. */
const RETRY = { delayMinMs: 5_000, delayMaxMs: 5_000 };
const LIMIT_MS = 600_000;
const PENDING_MAX = 256;

/** Passwords of nodes that were let in while the API could not store them: one attempt after the other for each name. */
export class DeferredPasswords {
  readonly #log: Logger;
  readonly #stopping: AbortSignal;
  readonly #pending = new Map<string, Buffer>();

  constructor(log: Logger, stopping: AbortSignal) {
    this.#log = log;
    this.#stopping = stopping;
  }

  /** Digest of the password by which the node was let in, while that is not stored. */
  digestOf(name: string): Buffer | undefined {
    return this.#pending.get(name);
  }

  /** False when too many wait already. */
  add(client: KubeClient, password: DeferredPassword): boolean {
    if (this.#pending.size >= PENDING_MAX) return false;
    this.#pending.set(password.name, password.digest);
    void this.#carry(client, password); // never rejects
    return true;
  }

  async #carry(client: KubeClient, { name, settle }: DeferredPassword): Promise<void> {
    const problem = await this.#problemOf(name, settle);
    this.#pending.delete(name);
    if (this.#stopping.aborted) return; // the node shows its password again at its next start
    const outcome =
      problem === undefined
        ? { type: "Normal", reason: "NodePasswordValidationComplete", message: "The node's password is stored" }
        : { type: "Warning", reason: "NodePasswordValidationFailed", message: problem };
    if (problem !== undefined)
      this.#log.error({ node: name, reason: problem }, "node let in whose password is unproven");
    await reportNodeEvent(client, { node: name, ...outcome }, this.#stopping).catch((error: unknown) => {
      this.#log.debug({ error, node: name }, "event of node could not be stored");
    });
  }

  async #problemOf(name: string, settle: DeferredPassword["settle"]): Promise<string | undefined> {
    using limit = deadline(LIMIT_MS, `Storing the password of node ${name}`, this.#stopping);
    try {
      const verdict = await retry(settle, { ...RETRY, isRetryable: isOutage }, limit);
      return verdict === "right" ? undefined : "Another machine has stored its password under this node's name";
    } catch (error) {
      return `The node's password could not be stored: ${error instanceof Error ? error.message : String(error)}`;
    }
  }
}

/** Whether the API cannot do its work now, as against refusing what is asked. */
export function isOutage(error: unknown): boolean {
  return !(error instanceof ApiError) || error.status >= 500;
}
