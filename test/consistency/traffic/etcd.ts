import {
  compareResults,
  sortOrders,
  sortTargets,
  type Compare,
  type DeleteRequest,
  type KeyValue,
  type PutRequest,
  type RangeRequest,
  type SortTarget,
  type Span,
  type TxnOperation,
  type TxnRequest,
} from "../history/operation.ts";
import type { TrafficClient } from "./client.ts";
import type { Leases } from "./lease-pool.ts";
import { plainKeys, spans, spansWithoutCompactKey } from "./keyspace.ts";
import type { Random } from "./random.ts";

const NESTING_MAX = 2;

interface EtcdTrafficOptions {
  readonly leases: Leases;
  /** Whether versions are compared and sorted by, and the key deleted whose version others count on. */
  readonly usesVersions: boolean;
  /** As in `EndpointTraits`. */
  readonly pastInTxns: boolean;
}

/** Does what any client of etcd may do: all forms of ranges, deletes and transactions. */
export class EtcdTraffic {
  readonly #client: TrafficClient;
  readonly #random: Random;
  readonly #leases: Leases;
  readonly #pastInTxns: boolean;
  readonly #deletable: readonly [Span, ...Span[]];
  readonly #targets: readonly [SortTarget, ...SortTarget[]];
  readonly #fields: readonly [Compare["target"]["field"], ...Compare["target"]["field"][]];
  #revision = 0;
  #seen: KeyValue | undefined;
  /** What the transaction in the making wrote last. */
  #written: string | undefined;

  constructor(client: TrafficClient, random: Random, options: EtcdTrafficOptions) {
    this.#client = client;
    this.#random = random;
    this.#leases = options.leases;
    this.#pastInTxns = options.pastInTxns;
    this.#deletable = options.usesVersions ? spans : spansWithoutCompactKey;
    this.#targets = options.usesVersions ? sortTargets : ["key", "create", "mod", "value"];
    this.#fields = ["create", "mod", "lease", "value", options.usesVersions ? "version" : "mod"];
  }

  /** One request of any kind. */
  async step(): Promise<void> {
    const random = this.#random;
    const act = random.weighted<() => Promise<unknown>>([
      [20, () => this.#send(this.#put(this.#key()))],
      [8, () => this.#send(this.#delete())],
      [25, () => this.#send(this.#range())],
      [35, () => this.#send(this.#txn(random.shuffled(plainKeys), NESTING_MAX))],
      [5, () => this.#leases.tend(this.#client, random)],
    ]);
    await act();
  }

  async #send(request: TxnOperation): Promise<void> {
    const outcome = await this.#client.perform(request);
    if (outcome.kind !== "ok") return;
    this.#revision = outcome.response.revision;
    if (outcome.response.kind === "range") this.#seen = outcome.response.kvs[0];
  }

  #put(key: string): PutRequest {
    const random = this.#random;
    const ignoreValue = random.chance(0.05);
    const ignoreLease = random.chance(0.05);
    return {
      kind: "put",
      key,
      value: ignoreValue ? "" : this.#client.nextValue(),
      lease: ignoreLease ? 0 : this.#leases.any(random),
      prevKv: random.chance(0.4),
      ignoreValue,
      ignoreLease,
    };
  }

  #delete(): DeleteRequest {
    const isWide = this.#random.chance(0.15);
    const span = isWide ? this.#random.pick(this.#deletable) : { key: this.#key(), end: "" };
    return { kind: "delete", ...span, prevKv: this.#random.chance(0.5) };
  }

  #range(): RangeRequest {
    const random = this.#random;
    const span: Span = random.chance(0.3) ? { key: this.#key(), end: "" } : random.pick(spans);
    const order = random.pick(sortOrders);
    // Without an order, etcd sorts by other targets only after it has cut the answer to the limit.
    const target = order === "none" ? "key" : random.pick(this.#targets);
    const isSorted = random.chance(0.3);
    const around = Math.max(1, this.#revision - random.below(20));
    return {
      kind: "range",
      ...span,
      ...(isSorted ? { sort: { target, order } } : { keysOnly: random.chance(0.2) }),
      limit: random.chance(0.5) ? 1 + random.below(4) : 0,
      revision: random.chance(0.15) ? Math.max(0, this.#revision - random.below(2) * random.below(100)) : 0,
      countOnly: random.chance(0.1),
      ...(random.chance(0.1) ? { minMod: around } : {}),
      ...(random.chance(0.05) ? { maxMod: around } : {}),
      ...(random.chance(0.05) ? { minCreate: around } : {}),
      ...(random.chance(0.05) ? { maxCreate: around } : {}),
    };
  }

  #rangeInTxn(): RangeRequest {
    const range = this.#range();
    return this.#pastInTxns ? range : { ...range, revision: 0 };
  }

  /** Writes use each of `unused` at most once: etcd refuses a key that is written twice. */
  #txn(unused: string[], depth: number): TxnRequest {
    const random = this.#random;
    const compare = Array.from({ length: random.below(3) }, () => this.#compare());
    const branch = (): TxnOperation[] =>
      Array.from({ length: random.below(4) }, () => this.#operation(unused, depth)).filter((one) => one !== undefined);
    return { kind: "txn", compare, success: branch(), failure: branch() };
  }

  #operation(unused: string[], depth: number): TxnOperation | undefined {
    const random = this.#random;
    const kind = random.weighted<"range" | "put" | "delete" | "txn">([
      [3, "range"],
      [5, "put"],
      [2, "delete"],
      [depth > 0 ? 2 : 0, "txn"],
    ]);
    if (kind === "range")
      return this.#written !== undefined && random.chance(0.5) ? read(this.#written) : this.#rangeInTxn();
    if (kind === "txn") return this.#txn(unused, depth - 1);
    const key = unused.pop();
    if (key === undefined) return undefined;
    this.#written = key;
    return kind === "put" ? this.#put(key) : { kind: "delete", key, end: "", prevKv: random.chance(0.5) };
  }

  /** Half of the comparisons are with something that was true a moment ago. */
  #compare(): Compare {
    const random = this.#random;
    const result = random.pick(compareResults);
    const field = random.pick(this.#fields);
    const seen = random.chance(0.5) ? this.#seen : undefined;
    const span: Span = random.chance(0.8) ? { key: seen?.key ?? this.#key(), end: "" } : random.pick(spans);
    if (field === "value")
      return { ...span, result, target: { field, value: seen?.value ?? this.#client.nextValue() } };
    return { ...span, result, target: { field, value: seen?.[field] ?? this.#number(field) } };
  }

  #number(field: "version" | "create" | "mod" | "lease"): number {
    if (field === "version") return this.#random.below(3);
    if (field === "lease") return this.#leases.any(this.#random);
    return Math.max(0, this.#revision - this.#random.below(10));
  }

  #key(): string {
    const [first = "", ...others] = plainKeys;
    return this.#random.pick([first, ...others]);
  }
}

function read(key: string): RangeRequest {
  return { kind: "range", key, end: "" };
}
