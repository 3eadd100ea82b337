import { StoreError, revision, type KeyValue, type RangeQuery, type RangeResult, type Store } from "@k3s/datastore";
import { override, type Seed } from "./seed.ts";

const SOMETIMES = 0.05;

/** What a read can do wrong. */
export const readSeeds: readonly Seed[] = [
  {
    name: "a read is answered from an old answer",
    foundAs: ["header", "linearizable"],
    plant: (store, random) => {
      const old = new Map<string, RangeResult>();
      return overrideRange(store, async (query) => {
        const known = old.get(nameOf(query));
        if (known !== undefined && random.chance(SOMETIMES)) return known;
        const result = await store.range(query);
        old.set(nameOf(query), result);
        return result;
      });
    },
  },
  {
    name: "a read is answered from an old answer, with the revision of now",
    foundAs: ["linearizable"],
    plant: (store, random) => {
      const old = new Map<string, RangeResult>();
      return overrideRange(store, async (query) => {
        const known = old.get(nameOf(query));
        const result = await store.range(query);
        old.set(nameOf(query), result);
        return known !== undefined && random.chance(0.2) ? { ...known, revision: result.revision } : result;
      });
    },
  },
  {
    name: "count is the number of keys in the page",
    foundAs: ["linearizable"],
    plant: (store) =>
      overrideResult(store, (result, query) => (query.countOnly ? result : { ...result, count: result.kvs.length })),
  },
  {
    name: "count at an old revision is that of now",
    foundAs: ["linearizable"],
    plant: (store) =>
      overrideRange(store, async (query) => {
        const [result, now] = await Promise.all([store.range(query), store.range({ ...query, revision: 0 })]);
        return { ...result, count: now.count };
      }),
  },
  {
    name: "more is missing on a full page",
    foundAs: ["linearizable"],
    plant: (store) => overrideResult(store, (result) => ({ ...result, more: false })),
  },
  {
    name: "a page has one key more than its limit",
    foundAs: ["linearizable"],
    plant: (store) =>
      overrideRange(store, (query) =>
        store.range({ ...query, limit: query.limit > 1 ? query.limit + 1 : query.limit }),
      ),
  },
  {
    name: "later pages of a list are of now",
    foundAs: ["linearizable"],
    plant: (store) => overrideRange(store, (query) => store.range({ ...query, revision: 0 })),
  },
  {
    name: "a revision that was compacted is answered",
    foundAs: ["linearizable"],
    plant: (store) =>
      overrideRange(store, async (query) => {
        try {
          return await store.range(query);
        } catch (error) {
          if (error instanceof StoreError && error.reason === "compacted")
            return store.range({ ...query, revision: 0 });
          throw error;
        }
      }),
  },
  {
    name: "the revision of a header goes back",
    foundAs: ["header", "linearizable"],
    plant: (store, random) =>
      overrideResult(store, (result) =>
        random.chance(SOMETIMES) ? { ...result, revision: revision(result.revision - 1) } : result,
      ),
  },
  {
    name: "a key that was created again keeps its first create_revision",
    foundAs: ["linearizable"],
    plant: (store) => {
      const first = new Map<string, KeyValue["createRevision"]>();
      return overrideResult(store, (result) => ({
        ...result,
        kvs: result.kvs.map((kv) => {
          const key = kv.key.toString("latin1");
          const createRevision = first.get(key) ?? kv.createRevision;
          first.set(key, createRevision);
          return { ...kv, createRevision };
        }),
      }));
    },
  },
  {
    name: "a key that was created again goes on counting its version",
    foundAs: ["linearizable"],
    plant: (store) => {
      const counts = new Map<string, number>();
      return overrideResult(store, (result) => ({
        ...result,
        kvs: result.kvs.map((kv) => {
          const key = kv.key.toString("latin1");
          const version = Math.max(kv.version, counts.get(key) ?? 0);
          counts.set(key, version);
          return { ...kv, version };
        }),
      }));
    },
  },
  {
    name: "a list leaves a key out",
    foundAs: ["linearizable"],
    plant: (store, random) =>
      overrideResult(store, (result) =>
        random.chance(SOMETIMES)
          ? { ...result, kvs: result.kvs.slice(1), count: Math.max(0, result.count - 1) }
          : result,
      ),
  },
];

function overrideRange(store: Store, range: (query: RangeQuery) => Promise<RangeResult>): Store {
  return override(store, { range });
}

function overrideResult(store: Store, change: (result: RangeResult, query: RangeQuery) => RangeResult): Store {
  return override(store, { range: async (query) => change(await store.range(query), query) });
}

function nameOf({ key, rangeEnd, ...rest }: RangeQuery): string {
  return JSON.stringify([key.toString("latin1"), rangeEnd.toString("latin1"), rest]);
}
