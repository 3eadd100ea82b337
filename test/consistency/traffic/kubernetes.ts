import type { Compare, KeyValue, Outcome, PutRequest, TxnOperation } from "../history/operation.ts";
import type { TrafficClient } from "./client.ts";
import type { Leases } from "./lease-pool.ts";
import { COMPACT_KEY, resources } from "./keyspace.ts";
import type { Random } from "./random.ts";

const PAGE_KEYS = 2;

/** Does what a kube-apiserver does: guarded writes of whole objects, paged lists at one revision, compaction by agreement. */
export class KubernetesTraffic {
  readonly #client: TrafficClient;
  readonly #random: Random;
  readonly #leases: Leases;
  /** What the client believes of each key, as an informer's cache does. */
  readonly #cache = new Map<string, KeyValue>();
  #compaction = { version: 0, revision: 0 };
  #revision = 0;

  constructor(client: TrafficClient, random: Random, leases: Leases) {
    this.#client = client;
    this.#random = random;
    this.#leases = leases;
  }

  /** One thing that an apiserver would do now. */
  async step(): Promise<void> {
    const act = this.#random.weighted<() => Promise<unknown>>([
      [18, () => this.#create()],
      [26, () => this.#update()],
      [14, () => this.#delete()],
      [10, () => this.#get()],
      [10, () => this.#list()],
      [4, () => this.#count()],
      [4, () => this.#currentRevision()],
      [4, () => this.#compact()],
      [3, () => this.#leases.tend(this.#client, this.#random)],
    ]);
    await act();
  }

  async #create(): Promise<void> {
    const key = this.#anyKey();
    const put: PutRequest = { ...this.#put(key), lease: this.#leases.any(this.#random) };
    this.#learn(key, await this.#guarded(modIs(key, 0), [put], this.#random.chance(0.5) ? [] : [get(key)]));
  }

  async #update(): Promise<void> {
    const key = this.#anyKey();
    const known = await this.#known(key);
    const mod = known?.mod ?? 0;
    this.#learn(key, await this.#guarded(modIs(key, mod), [this.#put(key)], [get(key)]));
  }

  async #delete(): Promise<void> {
    const key = this.#anyKey();
    const known = await this.#known(key);
    const drop: TxnOperation = { kind: "delete", key, end: "" };
    const outcome = await this.#guarded(modIs(key, known?.mod ?? 5), [drop], [get(key)]);
    this.#cache.delete(key);
    this.#learn(key, outcome);
  }

  async #get(): Promise<void> {
    const key = this.#anyKey();
    const isHistoric = this.#revision > 0 && this.#random.chance(0.2);
    await this.#read(key, isHistoric ? this.#revision : 0);
  }

  /** Pages at the revision of the first one, each from right behind the last key. */
  async #list(): Promise<void> {
    const { prefix } = this.#random.pick(resources);
    let { key } = prefix;
    let revision = 0;
    for (let page = 0; page < 10; page++) {
      const response = await this.#client.range({ key, end: prefix.end, limit: PAGE_KEYS, revision });
      if (response === undefined) return;
      revision ||= response.revision;
      if (page === 0) this.#revision = response.revision;
      for (const kv of response.kvs) this.#cache.set(kv.key, kv);
      const last = response.kvs.at(-1);
      if (last === undefined || response.kvs.length >= response.count) return;
      key = `${last.key}\0`;
    }
  }

  async #count(): Promise<void> {
    const { prefix } = this.#random.pick(resources);
    const response = await this.#client.range({ ...prefix, countOnly: true });
    this.#revision = response?.revision ?? this.#revision;
  }

  async #currentRevision(): Promise<void> {
    const response = await this.#client.range({ key: "/registry/pods", end: "", limit: 1 });
    this.#revision = response?.revision ?? this.#revision;
  }

  /** The winner of the guarded write compacts at the revision that the round before had written. */
  async #compact(): Promise<void> {
    const { version, revision } = this.#compaction;
    const current = this.#revision;
    const put: PutRequest = { kind: "put", key: COMPACT_KEY, value: `${current} ${this.#client.nextValue()}` };
    const guard: Compare = {
      key: COMPACT_KEY,
      end: "",
      result: "equal",
      target: { field: "version", value: version },
    };
    const outcome = await this.#guarded(guard, [put], [get(COMPACT_KEY)]);
    if (outcome.kind !== "ok" || outcome.response.kind !== "txn") return;
    if (outcome.response.succeeded) {
      this.#compaction = { version: version + 1, revision: current };
      if (revision > 0) await this.#client.perform({ kind: "compact", revision });
      return;
    }
    const [found] = outcome.response.responses;
    const kv = found?.kind === "range" ? found.kvs[0] : undefined;
    this.#compaction = { version: kv?.version ?? 0, revision: Number.parseInt(kv?.value ?? "0", 10) };
  }

  #guarded(guard: Compare, success: readonly TxnOperation[], failure: readonly TxnOperation[]): Promise<Outcome> {
    return this.#client.perform({ kind: "txn", compare: [guard], success, failure });
  }

  async #known(key: string): Promise<KeyValue | undefined> {
    // Mostly what is believed, also when it is out of date; the failure branch tells the truth then.
    return this.#cache.get(key) ?? (await this.#read(key, 0));
  }

  async #read(key: string, revision: number): Promise<KeyValue | undefined> {
    const response = await this.#client.range({ key, end: "", limit: 1, revision });
    const kv = response?.kvs[0];
    if (kv !== undefined && revision === 0) this.#cache.set(key, kv);
    return kv;
  }

  #learn(key: string, outcome: Outcome): void {
    if (outcome.kind !== "ok" || outcome.response.kind !== "txn") return;
    const [first] = outcome.response.responses;
    const kv = first?.kind === "range" ? first.kvs[0] : undefined;
    if (kv === undefined) this.#cache.delete(key);
    else this.#cache.set(key, kv);
    this.#revision = outcome.response.revision;
  }

  #put(key: string): PutRequest {
    return { kind: "put", key, value: this.#client.nextValue() };
  }

  #anyKey(): string {
    const [first = "", ...others] = this.#random.pick(resources).keys;
    return this.#random.pick([first, ...others]);
  }
}

function modIs(key: string, value: number): Compare {
  return { key, end: "", result: "equal", target: { field: "mod", value } };
}

function get(key: string): TxnOperation {
  return { kind: "range", key, end: "" };
}
