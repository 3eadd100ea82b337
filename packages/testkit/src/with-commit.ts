import type { CommitBatch, Driver } from "@k3s/datastore";

/** A driver that commits in another way, and does all else as before. */
export function withCommit(driver: Driver, commit: (batch: CommitBatch) => Promise<void>): Driver {
  return new Proxy(driver, {
    get(target, name): unknown {
      if (name === "commit") return commit;
      const own: unknown = Reflect.get(target, name, target);
      return typeof own === "function" ? own.bind(target) : own;
    },
  });
}
