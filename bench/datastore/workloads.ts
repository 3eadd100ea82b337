import { eventLag } from "./event-lag.ts";
import type { Job } from "./jobs.ts";
import { load, percentiles, type Figures, type Step } from "./load.ts";
import {
  compactRequest,
  guardedPut,
  hasSucceeded,
  headerRevision,
  progressRequest,
  putRequest,
  rangeRequest,
  watchRequest,
} from "./messages.ts";
import { RawClient } from "./raw-client.ts";

const KV = "/etcdserverpb.KV";
const VALUE = Buffer.alloc(1024, "v");
const CLIENTS = 8;
const PAGE = 500;
const NAMESPACES = 100;
/** A slow target reads fewer times, instead of for minutes: etcd counts 100,000 keys in tens of milliseconds. */
const READS_LIMIT_MS = 10_000;
/** Takes keys from all over, without a pattern that a cache could follow. */
const STRIDE = 7919;

/** A datastore as the workloads see it: several connections, and how many keys were created. */
export class Subject {
  readonly #endpoint: string;
  readonly #clients: RawClient[];
  #keys: number;

  private constructor(endpoint: string, clients: RawClient[], keys: number) {
    this.#endpoint = endpoint;
    this.#clients = clients;
    this.#keys = keys;
  }

  static async connect(endpoint: string, keys: number): Promise<Subject> {
    const clients = await Promise.all(Array.from({ length: CLIENTS }, () => RawClient.connect(endpoint)));
    return new Subject(endpoint, clients, keys);
  }

  close(): void {
    for (const client of this.#clients) client.close();
  }

  /** New keys, as kube-apiserver creates them. */
  create(inFlight: number, calls: number): Promise<Figures> {
    const first = this.#keys;
    this.#keys += calls;
    return this.#load(inFlight, calls, async (client, n) => {
      const answer = await client.unary(`${KV}/Txn`, guardedPut(keyName(first + n), VALUE, 0));
      if (!hasSucceeded(answer)) throw new Error(`Cannot create key ${first + n}: the guard failed`);
    });
  }

  /** Changes keys, each guarded by the revision of its last change. */
  async update(inFlight: number, calls: number): Promise<Figures> {
    return this.#load(inFlight, calls, await this.#updating(inFlight));
  }

  /** Writes the keys once more, one after the other, without looking at them. */
  overwrite(inFlight: number, calls: number): Promise<Figures> {
    return this.#load(inFlight, calls, (client, n) => client.unary(`${KV}/Put`, putRequest(keyName(n), VALUE)));
  }

  get(inFlight: number, calls: number): Promise<Figures> {
    return this.#load(inFlight, calls, (client, n) =>
      client.unary(`${KV}/Range`, rangeRequest(keyName((n * STRIDE) % this.#keys))),
    );
  }

  /** All objects of one namespace, a hundredth of the keys; each client has a connection of its own. */
  async list(inFlight: number, calls: number): Promise<Figures> {
    const clients = await this.#connections(inFlight);
    return load(
      (client, n) => {
        const namespace = `/registry/pods/namespace-${n % NAMESPACES}`;
        return client.unary(`${KV}/Range`, rangeRequest(`${namespace}/`, { end: `${namespace}0` }));
      },
      { clients, inFlight, calls, limitMs: READS_LIMIT_MS },
    );
  }

  /** Pages of 500 with their count, at places all over the keys; connections as with {@link list}. */
  async page(inFlight: number, calls: number): Promise<Figures> {
    const clients = await this.#connections(inFlight);
    const step: Step = (client, n) => {
      const from = keyName((n * STRIDE) % Math.max(1, this.#keys - PAGE));
      return client.unary(`${KV}/Range`, rangeRequest(from, { end: "/registry/pods0", limit: PAGE }));
    };
    return load(step, { clients, inFlight, calls, limitMs: READS_LIMIT_MS });
  }

  async count(inFlight: number, calls: number): Promise<Figures> {
    const clients = await this.#connections(inFlight);
    const request = rangeRequest("/registry/pods/", { end: "/registry/pods0", countOnly: true });
    const step: Step = (client) => client.unary(`${KV}/Range`, request);
    return load(step, { clients, inFlight, calls, limitMs: READS_LIMIT_MS });
  }

  /** From the answer of a write to its event on the last of other connections, while `traffic` updates of other keys are under way. */
  async watch({ calls, watchers: count, traffic }: Omit<Extract<Job, { kind: "watch" }>, "kind">): Promise<Figures> {
    const writer = this.#client(0);
    using undo = new DisposableStack();
    const connect = async () => undo.adopt(await RawClient.connect(this.#endpoint), (one) => one.close());
    const watchers = await Promise.all(Array.from({ length: count }, connect));
    return await this.besideTraffic(traffic, () => eventLag({ writer, watchers, calls, pauseMs: 0, value: VALUE }));
  }

  /** From the request for progress to its answer. */
  async progress(calls: number): Promise<Figures> {
    let answered: () => void = () => undefined;
    const send = this.#client(2).stream("/etcdserverpb.Watch/Watch", () => answered());
    const next = () => new Promise<void>((resolve) => (answered = resolve));
    const created = next();
    send(watchRequest("/registry/quiet/", "/registry/quiet0"));
    await created;
    const durations = new Float64Array(calls);
    for (let n = 0; n < calls; n++) {
      const startedAt = performance.now();
      const answer = next();
      send(progressRequest());
      await answer;
      durations[n] = performance.now() - startedAt;
    }
    return { perSecond: Number.NaN, ...percentiles(durations) };
  }

  /** Writes for `ms` while all history is compacted away: `maxMs` is the worst stall. */
  async compact(ms: number): Promise<Figures> {
    const client = this.#client(0);
    const revision = headerRevision(await client.unary(`${KV}/Range`, rangeRequest("/registry/none")));
    const compacted = client.unary(`${KV}/Compact`, compactRequest(revision));
    const [durations] = await Promise.all([this.#writeFor(ms), compacted]);
    return { perSecond: durations.length / (ms / 1000), ...percentiles(Float64Array.from(durations)) };
  }

  /** Writes one after the other; resolves with the milliseconds each took. */
  async #writeFor(ms: number): Promise<number[]> {
    const until = performance.now() + ms;
    const durations: number[] = [];
    for (let n = 0; performance.now() < until; n++) {
      const startedAt = performance.now();
      await this.#client(1).unary(`${KV}/Put`, putRequest(`/registry/stall/${n % 100}`, VALUE));
      durations.push(performance.now() - startedAt);
    }
    return durations;
  }

  /** Runs `work` while `inFlight` updates are under way on the other connections. */
  async besideTraffic<T>(inFlight: number, work: () => Promise<T>): Promise<T> {
    const step = await this.#updating(inFlight);
    let isOver = false;
    const lane = async (client: RawClient) => {
      while (!isOver) await step(client, 0);
    };
    const lanes = Array.from({ length: inFlight }, (_, i) => lane(this.#client(3 + (i % (CLIENTS - 3)))));
    const traffic = Promise.all(lanes);
    const onlyFailure = traffic.then(() => new Promise<never>(() => undefined));
    try {
      return await Promise.race([work(), onlyFailure]);
    } finally {
      isOver = true;
      await traffic;
    }
  }

  /** One update; at most `inFlight` at a time. */
  async #updating(inFlight: number): Promise<Step> {
    const free = Array.from({ length: inFlight }, (_, i) => `/registry/updated/${inFlight}/${i}`);
    const mods = new Map<string, number>();
    for (const name of free)
      mods.set(name, headerRevision(await this.#client(0).unary(`${KV}/Put`, putRequest(name, VALUE))));
    return async (sender) => {
      const name = free.pop() ?? "";
      const answer = await sender.unary(`${KV}/Txn`, guardedPut(name, VALUE, mods.get(name) ?? 0));
      if (!hasSucceeded(answer)) throw new Error(`Cannot update key ${name}: the guard failed`);
      mods.set(name, headerRevision(answer));
      free.push(name);
    };
  }

  /** So many connections, new ones if need be. */
  async #connections(count: number): Promise<readonly RawClient[]> {
    const missing = Math.max(0, count - this.#clients.length);
    const more = await Promise.all(Array.from({ length: missing }, () => RawClient.connect(this.#endpoint)));
    this.#clients.push(...more);
    return this.#clients.slice(0, count);
  }

  #client(index: number): RawClient {
    const client = this.#clients[index];
    if (client === undefined) throw new Error(`Cannot use connection ${index}: there are ${CLIENTS}`);
    return client;
  }

  #load(inFlight: number, calls: number, step: Step): Promise<Figures> {
    return load(step, { clients: this.#clients.slice(0, CLIENTS), inFlight, calls });
  }
}

function keyName(n: number): string {
  return `/registry/pods/namespace-${n % NAMESPACES}/pod-${String(n).padStart(8, "0")}`;
}
