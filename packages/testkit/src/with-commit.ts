import type { Claim, ClaimScope, CommitBatch, Driver } from "@k3s/datastore";

/** A driver that commits in another way, and does all else as before. */
export function withCommit(driver: Driver, commit: (batch: CommitBatch) => Promise<void>): Driver {
  return changed(driver, { commit });
}

/** A driver that claims in another way, and does all else as before. */
export function withClaim(driver: Driver, claim: (scope: ClaimScope) => Promise<Claim>): Driver {
  const { shared } = driver;
  return shared === undefined ? driver : changed(driver, { shared: { ...shared, claim } });
}

function changed(driver: Driver, changes: Partial<Driver>): Driver {
  return new Proxy(driver, {
    get(target, name): unknown {
      if (Object.hasOwn(changes, name)) return Reflect.get(changes, name);
      const own: unknown = Reflect.get(target, name, target);
      return typeof own === "function" ? own.bind(target) : own;
    },
  });
}
