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
   * out of the search.
   */
  isUncertain({ request, outcome, returnedAt }: Operation): boolean {
    if (request.kind !== "leaseKeepAlive" && request.kind !== "leaseTimeToLive") return false;
    const isGone = outcome.kind === "ok" && "ttl" in outcome.response && outcome.response.ttl <= 0;
    return isGone && returnedAt >= (this.#earliestEnd.get(request.id) ?? 0);
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

  #learn({ request, outcome, invokedAt, returnedAt }: Operation): void {
    if (request.kind === "leaseKeepAlive") {
      const ttl = this.#ttlSeconds.get(request.id);
      if (ttl !== undefined) this.#prolong(request.id, returnedAt + ttl * 1000);
    }
    if (request.kind === "leaseGrant") {
      // The server may have raised the TTL, and only its answer tells.
      const isAnswered = outcome.kind === "ok" && outcome.response.kind === "leaseGrant";
      const ttl = isAnswered && "ttl" in outcome.response ? outcome.response.ttl : request.ttl;
      if (outcome.kind === "refused") return;
      this.#extend(request.id, { invokedAt, ttl: Math.max(ttl, request.ttl) });
      this.#prolong(request.id, returnedAt + Math.max(ttl, request.ttl) * 1000);
    } else if (request.kind === "leaseKeepAlive" && outcome.kind === "ok" && "ttl" in outcome.response) {
      const ttl = this.#ttlSeconds.get(request.id);
      if (outcome.response.ttl > 0 && ttl !== undefined) this.#extend(request.id, { invokedAt, ttl });
    }
  }

  #prolong(id: number, end: number): void {
    this.#latestEnd.set(id, Math.max(end, this.#latestEnd.get(id) ?? 0));
  }

  #extend(id: number, term: { readonly invokedAt: number; readonly ttl: number }): void {
    this.#ttlSeconds.set(id, term.ttl);
    const end = term.invokedAt + term.ttl * 1000 - TOLERANCE_MS;
    this.#earliestEnd.set(id, Math.max(end, this.#earliestEnd.get(id) ?? 0));
  }
}
