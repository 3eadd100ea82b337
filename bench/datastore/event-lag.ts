import { sleep } from "@k3s/async";
import { percentiles, type Figures } from "./load.ts";
import { eventKey, putRequest, watchRequest } from "./messages.ts";
import type { RawClient } from "./raw-client.ts";

export interface EventLagOptions {
  readonly writer: RawClient;
  /** Connections to the same server or to another one of the same database. */
  readonly watchers: readonly RawClient[];
  readonly calls: number;
  /** Quiet time before each write. */
  readonly pauseMs: number;
  readonly value: Buffer;
}

const WATCHED = "/registry/watched/";
const WATCHED_END = "/registry/watched0";

interface Arrival extends PromiseWithResolvers<number> {
  /** Watchers that have not been told. */
  missing: number;
}

/** From the answer of a write to its event on the last of the other connections, in ms; below zero when that comes first. */
export async function eventLag({ writer, watchers, calls, pauseMs, value }: EventLagOptions): Promise<Figures> {
  const arrivals = new Map<string, Arrival>();
  const note = (key: string) => {
    const arrival = arrivals.get(key);
    if (arrival !== undefined && --arrival.missing === 0) arrival.resolve(performance.now());
  };
  await Promise.all(watchers.map((watcher) => watch(watcher, note)));
  const lags = new Float64Array(calls);
  const startedAt = performance.now();
  for (let n = 0; n < calls; n++) {
    if (pauseMs > 0) await sleep(pauseMs);
    const key = `${WATCHED}${n}`;
    const arrival = { ...Promise.withResolvers<number>(), missing: watchers.length };
    arrivals.set(key, arrival);
    await writer.unary("/etcdserverpb.KV/Put", putRequest(key, value));
    const answeredAt = performance.now();
    lags[n] = (await arrival.promise) - answeredAt;
    arrivals.delete(key);
  }
  return { perSecond: calls / ((performance.now() - startedAt) / 1000), ...percentiles(lags) };
}

/** Resolves when the watch is made. */
async function watch(watcher: RawClient, onEvent: (key: string) => void): Promise<void> {
  const created = Promise.withResolvers<void>();
  const send = watcher.stream("/etcdserverpb.Watch/Watch", (answer) => {
    const key = eventKey(answer);
    if (key === undefined) created.resolve();
    else onEvent(key);
  });
  send(watchRequest(WATCHED, WATCHED_END));
  await created.promise;
}
