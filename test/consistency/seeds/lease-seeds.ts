import { sleep } from "@k3s/async";
import { override, type Seed } from "./seed.ts";

const EARLY_MS = 20; // well within a round, which a fast machine ends in 200 ms
const YEARS_SECONDS = 1_000_000_000;

/** What leases can do wrong. */
export const leaseSeeds: readonly Seed[] = [
  {
    name: "a lease ends too early",
    foundAs: ["linearizable"],
    plant: (store) =>
      override(store, {
        leaseGrant: async (lease) => {
          const info = await store.leaseGrant(lease);
          const end = async () => {
            await sleep(EARLY_MS);
            await store.leaseRevoke(info.id);
          };
          end().catch(() => undefined); // revoked by its owner
          return info;
        },
      }),
  },
  {
    name: "a lease never ends",
    foundAs: ["lease-end"],
    needsShortLeases: true,
    plant: (store) =>
      override(store, {
        leaseGrant: async (lease) => {
          const info = await store.leaseGrant({ ...lease, ttlSeconds: YEARS_SECONDS });
          return { ...info, grantedTtlSeconds: lease.ttlSeconds };
        },
      }),
  },
  {
    name: "a lease that is revoked leaves its keys",
    foundAs: ["linearizable"],
    plant: (store) => override(store, { leaseRevoke: () => Promise.resolve(store.currentRevision) }),
  },
  {
    name: "a lease that has ended is there for those who renew it or ask for it",
    foundAs: ["linearizable"],
    plant: (store) => {
      const ask = async (id: bigint) => {
        const info = await store.leaseTimeToLive(id);
        return info.remainingTtlSeconds < 0 ? { ...info, grantedTtlSeconds: 60, remainingTtlSeconds: 60 } : info;
      };
      return override(store, { leaseTimeToLive: ask, leaseKeepAlive: ask });
    },
  },
  {
    name: "a put takes a lease that is not there for none",
    foundAs: ["linearizable"],
    plant: (store) =>
      override(store, {
        txn: async (txn) => {
          const known = new Set(await store.leaseList());
          const fix = <T extends (typeof txn.success)[number]>(op: T): T =>
            op.kind === "put" && !known.has(op.lease) ? { ...op, lease: 0n } : op;
          return store.txn({ ...txn, success: txn.success.map(fix) });
        },
      }),
  },
];
