import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ownTraits, type EndpointTraits } from "../history/endpoint-traits.ts";
import type { KeyValue, Operation, Outcome, Request, Span } from "../history/operation.ts";
import type { Received, WatchEvent, WatchSession } from "../history/watch-session.ts";
import { checkHistory } from "./check-history.ts";
import type { BrokenPromise } from "./violation.ts";

const etcd: EndpointTraits = { ...ownTraits, revisionStep: "per-txn" };
const UNKNOWN: Outcome = { kind: "unknown", text: "connection lost" };

const put = (key: string, value: string): Request => ({ kind: "put", key, value });
const get = (key: string): Request => ({ kind: "range", key, end: "" });
const done = (revision: number): Outcome => ({ kind: "ok", response: { kind: "put", revision, prevKv: undefined } });
const shows = (revision: number, ...kvs: readonly KeyValue[]): Outcome => {
  return { kind: "ok", response: { kind: "range", revision, kvs, more: false, count: kvs.length } };
};
const created = (key: string, value: string, mod: number): KeyValue => {
  return { key, value, create: mod, mod, version: 1, lease: 0 };
};
const createIfAbsent = (key: string, value: string): Request => {
  const guard = { key, end: "", result: "equal", target: { field: "mod", value: 0 } } as const;
  return { kind: "txn", compare: [guard], success: [{ kind: "put", key, value }], failure: [] };
};
const txnDone = (revision: number, writes = 1): Outcome => {
  const responses = Array.from({ length: writes }, () => ({ kind: "put", revision, prevKv: undefined }) as const);
  return { kind: "ok", response: { kind: "txn", revision, succeeded: true, responses } };
};

/** A watch from revision 2 on with what it was told, after it was created at the revision `createdAt`. */
function watchOf(span: Span, messages: readonly Pick<Received, "revision" | "events">[], createdAt = 1): WatchSession {
  const message = { watchId: 1, canceled: false, compactRevision: 0, cancelReason: "", fragment: false };
  return {
    ...{ id: 0, watcher: "watcher", requestedAt: 0, cancelRequestedAt: Number.POSITIVE_INFINITY, goal: 2 },
    request: { ...span, startRevision: 2, prevKv: true, progressNotify: true },
    messages: [{ revision: createdAt, events: [] }, ...messages].map((told, at) => {
      return { ...message, ...told, at, created: at === 0 };
    }),
  };
}

type Row = readonly [invokedAt: number, returnedAt: number, request: Request, outcome: Outcome];

/** What is found in a history that begins with an empty store at revision 1. */
function judge(rows: readonly Row[], traits = etcd, sessions: readonly WatchSession[] = []): BrokenPromise[] {
  const operations = rows.map(([invokedAt, returnedAt, request, outcome], id): Operation => {
    return { id, client: `client${id}`, request, outcome, invokedAt, returnedAt };
  });
  const initial = { revision: 1, compacted: 1, kvs: [] };
  const found = checkHistory({ initial, operations, sessions, leasePatienceMs: 1000 }, traits);
  return found.map(({ promise }) => promise);
}

describe("checkHistory() and the order of operations", () => {
  test("accepts operations at the same time in the order that their revisions tell", () => {
    const rows: readonly Row[] = [
      [0, 9, put("a", "1"), done(3)],
      [1, 8, put("a", "0"), done(2)],
      [2, 7, get("a"), shows(2, created("a", "0", 2))],
    ];
    assert.deepEqual(judge(rows), []);
  });

  test("refuses a read that misses a write acknowledged before it", () => {
    assert.deepEqual(
      judge([
        [0, 1, put("a", "1"), done(2)],
        [2, 3, get("a"), shows(1)],
      ]),
      ["header", "linearizable"],
    );
  });

  test("refuses a value that nobody wrote", () => {
    const rows: readonly Row[] = [
      [0, 1, put("a", "1"), done(2)],
      [2, 3, get("a"), shows(2, created("a", "2", 2))],
    ];
    assert.deepEqual(judge(rows), ["linearizable"]);
  });

  test("refuses two creations of one key", () => {
    const rows: readonly Row[] = [
      [0, 5, createIfAbsent("a", "1"), txnDone(2)],
      [0, 5, createIfAbsent("a", "2"), txnDone(3)],
    ];
    assert.deepEqual(judge(rows), ["linearizable"]);
  });

  test("lets a write without an answer take effect at once, later, or never", () => {
    const lost: Row = [0, 1, put("a", "1"), UNKNOWN];
    const absent: Row = [2, 3, get("a"), shows(1)];
    const present: Row = [4, 5, get("a"), shows(2, created("a", "1", 2))];
    for (const rows of [
      [lost, absent],
      [lost, present],
      [lost, absent, present],
    ])
      assert.deepEqual(judge(rows), []);
  });

  test("refuses a write without an answer that takes effect twice, or is taken back", () => {
    const lost: Row = [0, 1, put("a", "1"), UNKNOWN];
    const present: Row = [2, 3, get("a"), shows(2, created("a", "1", 2))];
    const again: Row = [4, 5, get("a"), shows(3, { ...created("a", "1", 3), create: 2, version: 2 })];
    const gone: Row = [4, 5, get("a"), shows(2)];
    assert.deepEqual(judge([lost, present, again]), ["linearizable"]);
    assert.deepEqual(judge([lost, present, gone]), ["linearizable"]);
  });

  test("finds which of many writes without an answer were carried out, from what was read later", () => {
    const keys = Array.from({ length: 24 }, (_, index) => `key${index}`);
    const lost = keys.map((key): Row => [0, 1, put(key, key), UNKNOWN]);
    const kept = keys.filter((_, index) => index % 3 === 0).reverse();
    const kvs = kept.map((key, index) => created(key, key, 2 + index)).sort((a, b) => (a.key < b.key ? -1 : 1));
    const all: Request = { kind: "range", key: "\0", end: "\0" };
    assert.deepEqual(judge([...lost, [2, 3, all, shows(1 + kept.length, ...kvs)]]), []);
  });

  test("looks at a set of lease calls without an answer once, in whatever order they came", () => {
    const lost = Array.from({ length: 11 }, (_, id): Row => [
      0,
      1,
      { kind: "leaseGrant", id: id + 1, ttl: 600 },
      UNKNOWN,
    ]);
    assert.deepEqual(judge([...lost, [2, 3, get("a"), shows(2, created("a", "1", 2))]]), ["linearizable"]);
  });

  test("counts revisions by transactions or by writes, as the server does", () => {
    const success = [put("a", "1"), put("b", "1")] as const;
    const both = { kind: "txn", compare: [], success, failure: [] } as Request;
    assert.deepEqual(judge([[0, 1, both, txnDone(2, 2)]]), []);
    assert.deepEqual(judge([[0, 1, both, txnDone(3, 2)]]), ["linearizable"]);
    const own: EndpointTraits = { ...etcd, revisionStep: "per-write" };
    assert.deepEqual(judge([[0, 1, both, txnDone(3, 2)]], own), []);
    assert.deepEqual(judge([[0, 1, both, txnDone(2, 2)]], own), ["linearizable"]);
  });

  test("accepts any order of keys that sort alike, and no other", () => {
    const request: Request = {
      kind: "range",
      key: "\0",
      end: "\0",
      limit: 2,
      sort: { target: "version", order: "descend" },
    };
    const [a, b] = [created("a", "1", 2), created("b", "1", 3)];
    const writes: readonly Row[] = [
      [0, 1, put("a", "1"), done(2)],
      [2, 3, put("b", "1"), done(3)],
    ];
    assert.deepEqual(judge([...writes, [4, 5, request, shows(3, b, a)]]), []);
    const updated = { ...b, mod: 4, version: 2, value: "2" };
    const update: Row = [4, 5, put("b", "2"), done(4)];
    assert.deepEqual(judge([...writes, update, [6, 7, request, shows(4, updated, a)]]), []);
    assert.deepEqual(judge([...writes, update, [6, 7, request, shows(4, a, updated)]]), ["linearizable"]);
  });

  test("takes the value that a watch was told for the one of a key that was read without it", () => {
    const shown = created("a", "1", 2);
    const keysOnly: Request = { kind: "range", key: "a", end: "", keysOnly: true };
    const operations = [
      [0, 1, put("a", "2"), UNKNOWN],
      [0, 1, put("a", "1"), UNKNOWN],
      [2, 3, keysOnly, shows(2, { ...shown, value: "" })],
    ] as const;
    const told = { revision: 2, events: [{ type: "put", kv: shown, prevKv: undefined }] } as const;
    const session = watchOf({ key: "a", end: "" }, [told]);
    assert.deepEqual(judge(operations, etcd, [session]), []);
  });

  test("believes a watch that was told of progress that nothing happened before it", () => {
    const operations = [
      [0, 1, put("a", "1"), done(2)],
      [2, 3, put("b", "1"), UNKNOWN],
      [2, 3, { kind: "delete", key: "b", end: "" }, UNKNOWN],
      [5, 6, get("b"), shows(4)],
    ] as const;
    const withHoles: EndpointTraits = { ...etcd, revisions: "with-holes" };
    const session = watchOf({ key: "\0", end: "\0" }, [
      { revision: 2, events: [{ type: "put", kv: created("a", "1", 2), prevKv: undefined }] },
      { revision: 4, events: [] },
    ]);
    assert.deepEqual(judge(operations, withHoles, [session]), []);
    const isThere: Row = [5, 6, get("b"), shows(3, created("b", "1", 3))];
    assert.deepEqual(judge([...operations.slice(0, 2), isThere], withHoles, [session]), ["watch-reliable"]);
  });

  test("lets an answer of etcd's to an older progress request come behind the creation of a watch", () => {
    const [first, second] = [created("a", "1", 2), { ...created("a", "2", 3), create: 2, version: 2 }];
    const operations = [
      [0, 1, put("a", "1"), done(2)],
      [2, 3, put("a", "2"), done(3)],
    ] as const;
    const told: WatchEvent[] = [
      { type: "put", kv: first, prevKv: undefined },
      { type: "put", kv: second, prevKv: first },
    ];
    const progress = { revision: 3, events: [] };
    const late = watchOf({ key: "a", end: "" }, [progress, { revision: 3, events: told }], 3);
    const overtaking: EndpointTraits = { ...etcd, overtakesProgress: true };
    assert.deepEqual(judge(operations, overtaking, [late]), []);
    assert.deepEqual(judge(operations, overtaking, [watchOf({ key: "a", end: "" }, [progress], 3)]), []);
    assert.deepEqual(judge(operations, etcd, [late]), ["watch-bookmarkable", "watch-bookmarkable"]);
    const early = watchOf({ key: "a", end: "" }, [progress, { revision: 3, events: told }], 2);
    assert.deepEqual(judge(operations, overtaking, [early]), ["watch-bookmarkable", "watch-bookmarkable"]);
  });

  test("lets a lease end by itself after its term, and not before", () => {
    const granted: Outcome = { kind: "ok", response: { kind: "leaseGrant", revision: 1, id: 7, ttl: 2, granted: 0 } };
    const rows: readonly Row[] = [
      [0, 1, { kind: "leaseGrant", id: 7, ttl: 2 }, granted],
      [2, 3, { kind: "put", key: "a", value: "1", lease: 7 }, done(2)],
    ];
    assert.deepEqual(judge([...rows, [2100, 2101, get("a"), shows(3)]]), []);
    assert.deepEqual(judge([...rows, [1000, 1001, get("a"), shows(3)]]), ["linearizable"]);
    const held = shows(2, { ...created("a", "1", 2), lease: 7 });
    assert.deepEqual(judge([...rows, [3100, 3101, get("a"), held]]), ["lease-end"]);
  });

  test("lets a lease be renewed that has no time left, but none that is said to be gone", () => {
    const told = (kind: "leaseGrant" | "leaseKeepAlive" | "leaseTimeToLive", ttl: number, granted: number): Outcome => {
      return { kind: "ok", response: { kind, revision: 1, id: 7, ttl, granted } };
    };
    const grant: Row = [0, 1, { kind: "leaseGrant", id: 7, ttl: 2 }, told("leaseGrant", 2, 0)];
    const renewal: Row = [2300, 2301, { kind: "leaseKeepAlive", id: 7 }, told("leaseKeepAlive", 2, 0)];
    const asked = (at: number, ttl: number, granted: number): Row => {
      return [at, at + 1, { kind: "leaseTimeToLive", id: 7 }, told("leaseTimeToLive", ttl, granted)];
    };
    assert.deepEqual(judge([grant, asked(2200, 0, 2), renewal]), []);
    assert.deepEqual(judge([grant, asked(500, 0, 2), renewal]), ["linearizable"]);
    assert.deepEqual(judge([grant, asked(2200, -1, 0), renewal]), ["linearizable"]);
    assert.deepEqual(judge([grant, asked(2200, -1, 0)]), []);
  });
});
