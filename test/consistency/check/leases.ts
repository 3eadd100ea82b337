import type { Operation } from "../history/operation.ts";
import { describeOperation } from "./describe.ts";
import type { OptionalEffect } from "./linearize.ts";
import type { Violation } from "./violation.ts";

/** Rounding of the TTL on the way to the server and back, and of the clocks. */
const TOLERANCE_MS = 50;

/** When the leases of a history can have ended by themselves. */
export class LeaseTerms {
  /** Lease id to the ms on the history's clock before which it must not end. */
  readonly #earliestEnd = new Map<number, number>();
  readonly #latestEnd = new Map<number, number>();
  /** Of each lease, when each of its terms was asked for and its earliest end. */
  readonly #terms = new Map<number, { readonly invokedAt: number; readonly end: number }[]>();
  readonly #ttlSeconds = new Map<number, number>();

  constructor(operations: readonly Operation[]) {
    for (const operation of operations.toSorted((a, b) => a.invokedAt - b.invokedAt)) this.#learn(operation);
  }

  /** The end of each lease, as something that may happen at any time after its term. */
  expirations(): OptionalEffect[] {
    return [...this.#earliestEnd].map(([id, invokedAt]) => ({ request: { kind: "leaseRevoke", id }, invokedAt }));
  }

  /**
   * Answers about a lease whose term is over say little: it may be gone for them, or not, before its keys are. They are left
   * out of the search. One that is there with no time left may still be renewed, as in an etcd that elects another leader; one that is
   * said to be gone may not.
   */
  isUncertain(operation: Operation): boolean {
    const { request, returnedAt } = operation;
    if (request.kind !== "leaseKeepAlive" && request.kind !== "leaseTimeToLive") return false;
    const ttl = ttlOf(operation) ?? 1;
    // What is left is told in whole seconds, rounded down; -1 is a lease that is not there.
    const lastSecondMs = request.kind === "leaseTimeToLive" && ttl === 0 ? 1000 : 0;
    const isThere = (grantedOf(operation) ?? 0) > 0;
    const end = isThere ? this.#endAskedBefore(request.id, returnedAt) : this.#earliestEnd.get(request.id);
    return ttl <= 0 && returnedAt >= (end ?? 0) - lastSecondMs;
  }

  /** The earliest end of the terms that were asked for before `time`. */
  #endAskedBefore(id: number, time: number): number {
    const terms = this.#terms.get(id) ?? [];
    return Math.max(0, ...terms.filter(({ invokedAt }) => invokedAt < time).map(({ end }) => end));
  }

  /** Finds reads that show keys of a lease more than `patienceMs` after its term. */
  overdue(operations: readonly Operation[], patienceMs: number): Violation[] {
    return operations.flatMap((operation): Violation[] => {
      const { request, outcome, invokedAt } = operation;
      if (outcome.kind !== "ok" || outcome.response.kind !== "range") return [];
      if (request.kind !== "range" || (request.revision ?? 0) > 0) return [];
      const late = outcome.response.kvs.filter(
        ({ lease }) => invokedAt > (this.#latestEnd.get(lease) ?? Number.POSITIVE_INFINITY) + patienceMs,
      );
      if (late.length === 0) return [];
      const keys = late.map(({ key, lease }) => `${JSON.stringify(key)} of lease ${lease}`);
      const text = `keys are there more than ${patienceMs} ms after the end of their lease: ${keys.join(", ")}`;
      return [{ promise: "lease-end", text, details: [describeOperation(operation)] }];
    });
  }

  #learn(operation: Operation): void {
    const { request, outcome } = operation;
    if (outcome.kind === "refused") return;
    if (request.kind === "leaseGrant") this.#learnGrant(request, operation);
    if (request.kind === "leaseKeepAlive") this.#learnRenewal(request.id, operation);
  }

  #learnGrant(asked: { readonly id: number; readonly ttl: number }, operation: Operation): void {
    // The server may have raised the TTL, and only its answer tells.
    const ttl = Math.max(ttlOf(operation) ?? 0, asked.ttl);
    this.#ttlSeconds.set(asked.id, ttl);
    this.#extend(asked.id, operation, ttl);
    this.#prolong(asked.id, operation.returnedAt + ttl * 1000);
  }

  #learnRenewal(id: number, operation: Operation): void {
    const ttl = this.#ttlSeconds.get(id);
    if (ttl === undefined) return;
    if ((ttlOf(operation) ?? 0) > 0) this.#extend(id, operation, ttl);
    this.#prolong(id, operation.returnedAt + ttl * 1000);
  }

  #extend(id: number, { invokedAt }: Operation, ttl: number): void {
    const end = invokedAt + ttl * 1000 - TOLERANCE_MS;
    this.#terms.set(id, [...(this.#terms.get(id) ?? []), { invokedAt, end }]);
    this.#earliestEnd.set(id, Math.max(end, this.#earliestEnd.get(id) ?? 0));
  }

  #prolong(id: number, end: number): void {
    this.#latestEnd.set(id, Math.max(end, this.#latestEnd.get(id) ?? 0));
  }
}

/** Seconds, as the answer says. */
function ttlOf({ outcome }: Operation): number | undefined {
  return outcome.kind === "ok" && "ttl" in outcome.response ? outcome.response.ttl : undefined;
}

/** Seconds that the lease was granted for, as an answer about one that is there says. */
function grantedOf({ outcome }: Operation): number | undefined {
  return outcome.kind === "ok" && "granted" in outcome.response ? outcome.response.granted : undefined;
}
