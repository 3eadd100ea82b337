import type { Store, WatchBatch, WatchRequest } from "@k3s/datastore";
import type { BrokenPromise } from "../check/violation.ts";
import type { Random } from "../traffic/random.ts";

/** A bug put between the store and the API, to see whether the checker finds it. */
export interface Seed {
  /** What the server does wrong. */
  readonly name: string;
  /** How the checker may call it. */
  readonly foundAs: readonly [BrokenPromise, ...BrokenPromise[]];
  /** Whether it shows only when leases end by themselves. */
  readonly needsShortLeases?: boolean;
  /** `random` decides when the bug strikes. */
  readonly plant: (store: Store, random: Random) => Store;
}

/** The store with some of its methods replaced. */
export function override(store: Store, changes: Partial<Store>): Store {
  return new Proxy(store, {
    get(target, name): unknown {
      const changed: unknown = Reflect.get(changes, name);
      if (changed !== undefined) return changed;
      const own: unknown = Reflect.get(target, name, target);
      return typeof own === "function" ? own.bind(target) : own;
    },
  });
}

/** The store with something between its watches and those who listen. */
export function overrideBatches(
  store: Store,
  pass: (batch: WatchBatch, deliver: WatchRequest["onEvents"]) => void,
): Store {
  return override(store, {
    watch: (request) => store.watch({ ...request, onEvents: (batch) => pass(batch, request.onEvents) }),
  });
}
