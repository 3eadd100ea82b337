import { load, percentiles, type Figures, type Step } from "./load.ts";
import {
  compactRequest,
  fields,
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
const WATCHED = "/registry/watched/";
const WATCHED_END = "/registry/watched0";

/** A datastore as the workloads see it: several connections, and what was written so far. */
export class Subject {
  readonly clients: readonly RawClient[];
  #keys = 0;

  private constructor(clients: readonly RawClient[]) {
    this.clients = clients;
  }

  static async connect(endpoint: string): Promise<Subject> {
    return new Subject(await Promise.all(Array.from({ length: CLIENTS }, () => RawClient.connect(endpoint))));
  }

  close(): void {
    for (const client of this.clients) client.close();
  }

  get keys(): number {
    return this.#keys;
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

  /** Changes keys one after the other, each guarded by the revision of its last change. */
  async update(inFlight: number, calls: number): Promise<Figures> {
    const names = Array.from({ length: inFlight }, (_, i) => `/registry/updated/${inFlight}/${i}`);
    const mods = new Map<string, number>();
    const [client] = this.clients;
    for (const name of names)
      mods.set(name, headerRevision((await client?.unary(`${KV}/Put`, putRequest(name, VALUE))) ?? Buffer.alloc(0)));
    const free = [...names];
    return this.#load(inFlight, calls, async (sender) => {
      const name = free.pop() ?? "";
      const answer = await sender.unary(`${KV}/Txn`, guardedPut(name, VALUE, mods.get(name) ?? 0));
      if (!hasSucceeded(answer)) throw new Error(`Cannot update key ${name}: the guard failed`);
      mods.set(name, headerRevision(answer));
      free.push(name);
    });
  }

  get(inFlight: number, calls: number): Promise<Figures> {
    return this.#load(inFlight, calls, (client, n) =>
      client.unary(`${KV}/Range`, rangeRequest(keyName((n * 7919) % this.#keys))),
    );
  }

  /** Pages of 500 with their count, at places all over the keys. */
  page(calls: number): Promise<Figures> {
    return this.#load(1, calls, (client, n) => {
      const from = keyName((n * 7919) % Math.max(1, this.#keys - PAGE));
      return client.unary(`${KV}/Range`, rangeRequest(from, { end: "/registry/pods0", limit: PAGE }));
    });
  }

  count(calls: number): Promise<Figures> {
    const request = rangeRequest("/registry/pods/", { end: "/registry/pods0", countOnly: true });
    return this.#load(1, calls, (client) => client.unary(`${KV}/Range`, request));
  }

  /** From the answer of a write to its event on another connection; below zero when the event comes first. */
  async watchLag(calls: number): Promise<Figures> {
    const [writer, watcher] = this.clients;
    if (writer === undefined || watcher === undefined) throw new Error("Cannot watch: no connection");
    const lags = new Float64Array(calls);
    const arrivals = new Map<number, () => void>();
    const send = watcher.stream("/etcdserverpb.Watch/Watch", (answer) => {
      if (fields(answer).has(11)) arrivals.get(headerRevision(answer))?.();
      else created.resolve();
    });
    const created = Promise.withResolvers<void>();
    send(watchRequest(WATCHED, WATCHED_END));
    await created.promise;
    const startedAt = performance.now();
    for (let n = 0; n < calls; n++) {
      let arrivedAt = 0;
      const event = Promise.withResolvers<void>();
      const previous = await this.#revision(writer);
      arrivals.set(previous + 1, () => {
        arrivedAt = performance.now();
        event.resolve();
      });
      await writer.unary(`${KV}/Put`, putRequest(`${WATCHED}${n}`, VALUE));
      const answeredAt = performance.now();
      await event.promise;
      lags[n] = arrivedAt - answeredAt;
    }
    return { perSecond: calls / ((performance.now() - startedAt) / 1000), ...percentiles(lags) };
  }

  /** From the request for progress to its answer. */
  async progress(calls: number): Promise<Figures> {
    const [, , client] = this.clients;
    if (client === undefined) throw new Error("Cannot watch: no connection");
    let answered: () => void = () => undefined;
    const send = client.stream("/etcdserverpb.Watch/Watch", () => answered());
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

  /** Writes while all history is compacted away: `maxMs` is the worst stall. */
  async compactUnderWrites(calls: number): Promise<Figures> {
    const [client] = this.clients;
    if (client === undefined) throw new Error("Cannot compact: no connection");
    const compacted = client.unary(`${KV}/Compact`, compactRequest(await this.#revision(client)));
    const [figures] = await Promise.all([
      this.#load(1, calls, (writer, n) => writer.unary(`${KV}/Put`, putRequest(`/registry/stall/${n % 100}`, VALUE))),
      compacted,
    ]);
    return figures;
  }

  async #revision(client: RawClient): Promise<number> {
    return headerRevision(await client.unary(`${KV}/Range`, rangeRequest("/registry/none")));
  }

  #load(inFlight: number, calls: number, step: Step): Promise<Figures> {
    return load(step, { clients: this.clients, inFlight, calls });
  }
}

function keyName(n: number): string {
  return `/registry/pods/namespace-${n % 100}/pod-${String(n).padStart(8, "0")}`;
}
