import { sleep } from "@k3s/async";
import { percentiles, type Figures } from "./load.ts";
import { eventKey, putRequest, watchRequest } from "./messages.ts";
import type { RawClient } from "./raw-client.ts";

export interface EventLagOptions {
  readonly writer: RawClient;
  /** A connection to the same server or to another one of the same database. */
  readonly watcher: RawClient;
  readonly calls: number;
  /** Quiet time before each write. */
  readonly pauseMs: number;
  readonly value: Buffer;
}

const WATCHED = "/registry/watched/";
const WATCHED_END = "/registry/watched0";

/** From the answer of a write to its event on the other connection, in ms; below zero when the event comes first. */
export async function eventLag({ writer, watcher, calls, pauseMs, value }: EventLagOptions): Promise<Figures> {
  const arrivals = new Map<string, PromiseWithResolvers<number>>();
  const created = Promise.withResolvers<void>();
  const send = watcher.stream("/etcdserverpb.Watch/Watch", (answer) => {
    const key = eventKey(answer);
    if (key === undefined) created.resolve();
    else arrivals.get(key)?.resolve(performance.now());
  });
  send(watchRequest(WATCHED, WATCHED_END));
  await created.promise;
  const lags = new Float64Array(calls);
  const startedAt = performance.now();
  for (let n = 0; n < calls; n++) {
    if (pauseMs > 0) await sleep(pauseMs);
    const key = `${WATCHED}${n}`;
    const arrival = Promise.withResolvers<number>();
    arrivals.set(key, arrival);
    await writer.unary("/etcdserverpb.KV/Put", putRequest(key, value));
    const answeredAt = performance.now();
    lags[n] = (await arrival.promise) - answeredAt;
    arrivals.delete(key);
  }
  return { perSecond: calls / ((performance.now() - startedAt) / 1000), ...percentiles(lags) };
}
