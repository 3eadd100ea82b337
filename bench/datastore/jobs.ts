/** Calls before the measured ones of the job "unary", enough for every function on the way to be compiled. */
export const WARM_CALLS = 20_000;

/** What the load generator can be asked for. Each is answered with Figures. */
export type Job =
  /** Connects to a datastore that holds `keys` keys of the bench, and lets go of the one before. */
  | { readonly kind: "connect"; readonly endpoint: string; readonly keys: number }
  | {
      readonly kind: "create" | "update" | "overwrite" | "get" | "list" | "page" | "count";
      readonly inFlight: number;
      readonly calls: number;
    }
  /** `watchers`: clients that are told of each write. `traffic`: updates of other keys that are under way meanwhile. */
  | { readonly kind: "watch"; readonly calls: number; readonly watchers: number; readonly traffic: number }
  | { readonly kind: "progress"; readonly calls: number }
  /** Writes for so long while all history is compacted away. */
  | { readonly kind: "compact"; readonly ms: number }
  /** Events of one server's writes at another server, both on one database. */
  | {
      readonly kind: "shared";
      readonly endpoints: readonly [writer: string, watcher: string];
      readonly calls: number;
      readonly pauseMs: number;
      readonly traffic: number;
    }
  /** Calls of a method with an empty request on one connection. */
  | {
      readonly kind: "unary";
      readonly endpoint: string;
      readonly path: string;
      readonly inFlight: number;
      readonly calls: number;
    };
