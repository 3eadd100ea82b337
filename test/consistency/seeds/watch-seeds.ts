import { sleep } from "@k3s/async";
import { revision, type KeyValue, type WatchBatch, type WatchEvent } from "@k3s/datastore";
import { override, overrideBatches, type Seed } from "./seed.ts";

const SOMETIMES = 0.05;
const DELAY_MS = 15;
const NUL = Buffer.of(0);

/** What a watch can do wrong. */
export const watchSeeds: readonly Seed[] = [
  {
    name: "a watch drops an event",
    foundAs: ["watch-reliable", "watch-alive"],
    plant: (store, random) =>
      overrideBatches(store, (batch, deliver) => {
        const kept = batch.events.filter(() => !random.chance(SOMETIMES));
        if (kept.length > 0) deliver({ ...batch, events: kept });
      }),
  },
  {
    name: "a watch tells two batches in the wrong order",
    foundAs: ["watch-ordered", "watch-bookmarkable"],
    plant: (store, random) => {
      const held = new Map<unknown, WatchBatch>();
      return overrideBatches(store, (batch, deliver) => {
        const late = held.get(deliver);
        if (late === undefined && random.chance(SOMETIMES)) {
          held.set(deliver, batch);
          return;
        }
        deliver(batch);
        if (late !== undefined) deliver(late);
        held.delete(deliver);
      });
    },
  },
  {
    name: "a watch tells an event twice",
    foundAs: ["watch-unique"],
    plant: (store, random) =>
      overrideBatches(store, (batch, deliver) => {
        deliver(batch);
        if (random.chance(SOMETIMES)) deliver(batch);
      }),
  },
  {
    name: "a watch splits a revision over two messages",
    foundAs: ["watch-atomic"],
    plant: (store) =>
      overrideBatches(store, (batch, deliver) => {
        const cut = batch.events.findIndex(
          (event, index) => index > 0 && isSameRevision(event, batch.events[index - 1]),
        );
        if (cut > 0) deliver({ ...batch, events: batch.events.slice(0, cut) });
        deliver({ ...batch, events: batch.events.slice(Math.max(cut, 0)) });
      }),
  },
  {
    name: "progress overtakes events",
    foundAs: ["watch-bookmarkable", "watch-reliable"],
    plant: (store) => {
      let last: Promise<void> = Promise.resolve();
      return overrideBatches(store, (batch, deliver) => {
        last = last.then(() => sleep(DELAY_MS)).then(() => deliver(batch));
      });
    },
  },
  {
    name: "prev_kv is the state before the one before",
    foundAs: ["watch-prev-kv"],
    plant: (store) => {
      const older = new Map<string, KeyValue>();
      return overrideEvents(store, (event) => {
        const key = event.kv.key.toString("latin1");
        const stale = older.get(key);
        if (event.prevKv !== undefined) older.set(key, event.prevKv);
        return { ...event, prevKv: event.prevKv === undefined ? undefined : (stale ?? event.prevKv) };
      });
    },
  },
  {
    name: "prev_kv is missing after an update",
    foundAs: ["watch-prev-kv"],
    plant: (store, random) =>
      overrideEvents(store, (event) => (random.chance(SOMETIMES) ? { ...event, prevKv: undefined } : event)),
  },
  {
    name: "an event has the value of the state before",
    foundAs: ["watch-exact"],
    plant: (store, random) =>
      overrideEvents(store, (event) =>
        event.type === "put" && event.prevKv !== undefined && random.chance(SOMETIMES)
          ? { ...event, kv: { ...event.kv, value: event.prevKv.value } }
          : event,
      ),
  },
  {
    name: "an update is told as a creation",
    foundAs: ["watch-exact"],
    plant: (store, random) =>
      overrideEvents(store, (event) =>
        event.type === "put" && random.chance(SOMETIMES)
          ? { ...event, kv: { ...event.kv, createRevision: event.kv.modRevision } }
          : event,
      ),
  },
  {
    name: "a deletion is told as an update",
    foundAs: ["watch-exact"],
    plant: (store, random) =>
      overrideEvents(store, (event) =>
        event.type === "delete" && event.prevKv !== undefined && random.chance(0.3)
          ? { ...event, type: "put", kv: { ...event.prevKv, modRevision: event.kv.modRevision } }
          : event,
      ),
  },
  {
    name: "a watch tells of keys that are not its own",
    foundAs: ["watch-exact"],
    plant: (store) => override(store, { watch: (request) => store.watch({ ...request, key: NUL, rangeEnd: NUL }) }),
  },
  {
    name: "a watch starts one revision too late",
    foundAs: ["watch-reliable"],
    plant: (store) =>
      override(store, {
        watch: (request) => store.watch({ ...request, startRevision: Math.max(0, request.startRevision + 1) }),
      }),
  },
  {
    name: "a resumed watch skips what happened in between",
    foundAs: ["watch-reliable"],
    plant: (store) => override(store, { watch: (request) => store.watch({ ...request, startRevision: 0 }) }),
  },
  {
    name: "a watch says it was created at a revision of long ago",
    foundAs: ["header"],
    plant: (store, random) =>
      override(store, {
        watch: (request) => {
          const watch = store.watch(request);
          if (!random.chance(0.3)) return watch;
          const old = revision(Math.max(1, watch.revision - 50));
          return { revision: old, progress: () => watch.progress(), close: () => watch.close() };
        },
      }),
  },
  {
    name: "a watch that starts now says that it starts later",
    foundAs: ["watch-exact"],
    plant: (store) =>
      override(store, {
        watch: (request) => {
          const watch = store.watch(request);
          const late = revision(watch.revision + (request.startRevision === 0 ? 5 : 0));
          return { revision: late, progress: () => watch.progress(), close: () => watch.close() };
        },
      }),
  },
  {
    name: "a watch starts in history that was compacted",
    foundAs: ["watch-compacted", "watch-reliable", "watch-prev-kv"],
    plant: (store) => {
      let compacted = 0;
      return override(store, {
        compact: async (at) => {
          const current = await store.compact(at);
          compacted = at;
          return current;
        },
        watch: (request) => {
          const { startRevision } = request;
          return store.watch({ ...request, startRevision: startRevision > 0 ? Math.max(startRevision, compacted) : 0 });
        },
      });
    },
  },
];

function overrideEvents(store: Parameters<Seed["plant"]>[0], change: (event: WatchEvent) => WatchEvent) {
  return overrideBatches(store, (batch, deliver) => deliver({ ...batch, events: batch.events.map(change) }));
}

function isSameRevision(event: WatchEvent, before: WatchEvent | undefined): boolean {
  return event.kv.modRevision === before?.kv.modRevision;
}
