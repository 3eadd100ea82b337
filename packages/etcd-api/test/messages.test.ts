import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, test } from "node:test";
import { revision, type KeyValue } from "@k3s/datastore";
import { writeHeader, type Header } from "../src/messages/common.ts";
import { decodeHealthCheck, encodeHealth, ServingStatus } from "../src/messages/health.ts";
import {
  decodeLeaseGrant,
  decodeLeaseId,
  decodeLeaseTimeToLive,
  writeLease,
  writeLeases,
  writeLeaseTimeToLive,
} from "../src/messages/lease.ts";
import { decodeAlarm, writeMemberList, writeStatus } from "../src/messages/maintenance.ts";
import { decodeRange, encodeRangeResponse } from "../src/messages/range.ts";
import { decodeTxn, writeTxnResponse } from "../src/messages/txn.ts";
import { decodeWatchRequest, encodeEvent, encodeWatchResponse } from "../src/messages/watch.ts";
import {
  decodeCompaction,
  decodeDelete,
  decodePut,
  writeDeleteResponse,
  writePutResponse,
} from "../src/messages/write.ts";
import { encode } from "../src/proto/proto-writer.ts";

/** Messages marshalled by etcd's own Go code (etcdserverpb of 3.4.13, grpc_health_v1), as hexadecimal. */
const recorded = JSON.parse(readFileSync(new URL("recorded/messages.json", import.meta.url), "utf8")) as Record<
  string,
  string
>;

const LEASE = 7_587_862_094_993_408_001n;
const header: Header = {
  clusterId: 14_841_639_068_965_178_418n,
  memberId: 10_276_657_743_932_975_437n,
  revision: 4_294_967_311,
  raftTerm: 2,
};

function bytesOf(name: string): Buffer {
  const hex = recorded[name];
  assert.ok(hex !== undefined, `no recording "${name}"`);
  return Buffer.from(hex, "hex");
}

function assertRecorded(actual: Buffer, name: string): void {
  assert.equal(actual.toString("hex"), bytesOf(name).toString("hex"));
}

function kv(key: string, value: string): KeyValue {
  return {
    key: Buffer.from(key),
    createRevision: revision(5),
    modRevision: revision(4_294_967_310),
    version: 300,
    value: Buffer.from(value),
    lease: LEASE,
  };
}

const none = Buffer.alloc(0);
const put = { kind: "put", key: Buffer.from("/a"), value: Buffer.from("v"), lease: LEASE, prevKv: true } as const;
const fullPut = { ...put, ignoreValue: false, ignoreLease: false };
const deleteRange = { kind: "delete", key: Buffer.from("/a"), rangeEnd: Buffer.from("/b"), prevKv: true };
const compare = { result: 0, target: 2, key: Buffer.from("/a"), rangeEnd: none, number: 0, lease: 0n, value: none };
const range = {
  key: none,
  rangeEnd: none,
  limit: 0,
  revision: 0,
  sortOrder: 0,
  sortTarget: 0,
  serializable: false,
  keysOnly: false,
  countOnly: false,
  minModRevision: 0,
  maxModRevision: 0,
  minCreateRevision: 0,
  maxCreateRevision: 0,
};
const watchCreate = {
  key: none,
  rangeEnd: none,
  startRevision: 0,
  progressNotify: false,
  noPut: false,
  noDelete: false,
  prevKv: false,
  watchId: 0,
  fragment: false,
};

describe("requests recorded from etcd's client", () => {
  const cases: readonly (readonly [name: string, decode: (bytes: Buffer) => unknown, expected: unknown])[] = [
    [
      "range.page",
      decodeRange,
      {
        ...range,
        key: Buffer.from("/registry/pods/"),
        rangeEnd: Buffer.from("/registry/pods0"),
        limit: 500,
        revision: 4_294_967_299,
      },
    ],
    [
      "range.everything",
      decodeRange,
      {
        key: Buffer.of(0),
        rangeEnd: Buffer.of(0),
        limit: 9,
        revision: 8,
        sortOrder: 2,
        sortTarget: 3,
        serializable: true,
        keysOnly: true,
        countOnly: true,
        minModRevision: 1,
        maxModRevision: 2,
        minCreateRevision: 3,
        maxCreateRevision: 4,
      },
    ],
    ["range.negativeRevision", decodeRange, { ...range, key: Buffer.from("k"), revision: -1 }],
    ["put.full", decodePut, fullPut],
    [
      "put.flags",
      decodePut,
      {
        kind: "put",
        key: Buffer.from("k"),
        value: none,
        lease: 0n,
        prevKv: false,
        ignoreValue: true,
        ignoreLease: true,
      },
    ],
    [
      "put.negativeLease",
      decodePut,
      {
        kind: "put",
        key: Buffer.from("k"),
        value: none,
        lease: -2n,
        prevKv: false,
        ignoreValue: false,
        ignoreLease: false,
      },
    ],
    ["delete", decodeDelete, deleteRange],
    ["compact", decodeCompaction, 4_294_967_299],
    ["txn.create", decodeTxn, { compare: [compare], success: [fullPut], failure: [] }],
    [
      "txn.update",
      decodeTxn,
      {
        compare: [{ ...compare, number: 4_294_967_310 }],
        success: [fullPut],
        failure: [{ kind: "range", range: { ...range, key: Buffer.from("/a") } }],
      },
    ],
    [
      "txn.compares",
      decodeTxn,
      {
        compare: [
          { ...compare, key: Buffer.from("a"), result: 1, target: 0, number: 3 },
          { ...compare, key: Buffer.from("b"), result: 2, target: 1, number: -4 },
          { ...compare, key: Buffer.from("c"), result: 3, target: 3, value: Buffer.from("x") },
          { ...compare, key: Buffer.from("d"), target: 4, lease: LEASE, rangeEnd: Buffer.from("e") },
          { ...compare, key: Buffer.from("f") },
        ],
        success: [],
        failure: [],
      },
    ],
    [
      "txn.nested",
      decodeTxn,
      {
        compare: [],
        success: [{ kind: "txn", encoded: bytesOf("txn.create") }, deleteRange, undefined],
        failure: [],
      },
    ],
    [
      "watch.create",
      decodeWatchRequest,
      {
        kind: "create",
        create: {
          ...watchCreate,
          key: Buffer.from("/a/"),
          rangeEnd: Buffer.from("/a0"),
          startRevision: 4_294_967_299,
          progressNotify: true,
          prevKv: true,
        },
      },
    ],
    [
      "watch.createFull",
      decodeWatchRequest,
      {
        kind: "create",
        create: {
          ...watchCreate,
          key: Buffer.from("/a"),
          startRevision: -1,
          noPut: true,
          noDelete: true,
          watchId: 7,
          fragment: true,
        },
      },
    ],
    ["watch.cancel", decodeWatchRequest, { kind: "cancel", watchId: 7 }],
    ["watch.progress", decodeWatchRequest, { kind: "progress" }],
    ["lease.grant", decodeLeaseGrant, { ttlSeconds: 3660, id: LEASE }],
    ["lease.revoke", decodeLeaseId, LEASE],
    ["lease.keepAlive", decodeLeaseId, -3n],
    ["lease.timeToLive", decodeLeaseTimeToLive, { id: LEASE, keys: true }],
    ["alarm.get", decodeAlarm, { action: "get", isAboutSpace: true }],
    ["alarm.disarm", decodeAlarm, { action: "deactivate", isAboutSpace: true }],
    ["health.check", decodeHealthCheck, "etcdserverpb.KV"],
  ];
  for (const [name, decode, expected] of cases) {
    test(`${decode.name}() reads ${name}`, () => assert.deepEqual(decode(bytesOf(name)), expected));
  }
});

describe("answers recorded from etcd", () => {
  const open = { isOver: false };
  const result = { revision: revision(header.revision), kvs: [], more: false, count: 0 };

  test("encodeRangeResponse() writes kvs, more and count", async () => {
    const kvs = [kv("/a", "one"), kv("/b", "")];
    assertRecorded(
      await encodeRangeResponse(header, { ...result, kvs, more: true, count: 70_000 }, open),
      "range.response",
    );
    assertRecorded(await encodeRangeResponse(header, result, open), "range.responseEmpty");
  });

  test("encodeRangeResponse() drops a large answer that nobody waits for any more", async () => {
    const kvs = Array.from({ length: 50 }, () => kv("/a", "v".repeat(100_000)));
    await assert.rejects(encodeRangeResponse(header, { ...result, kvs }, { isOver: true }), { code: 1 });
  });

  test("encodeRangeResponse() writes a large answer in slices to the same bytes", async () => {
    const kvs = Array.from({ length: 50 }, (_, i) => kv(`/k${i}`, "x".repeat(100_000)));
    const whole = await encodeRangeResponse(header, { ...result, kvs, count: 50 }, open);
    const parts = kvs.map((one) => encode((w) => w.message(2, () => w.raw(kvBytes(one)))));
    const expected = Buffer.concat([bytesOf("range.responseEmpty"), ...parts, Buffer.of(4 * 8, 50)]);
    assert.ok(whole.equals(expected));
  });

  const encoders: readonly (readonly [name: string, bytes: () => Buffer])[] = [
    ["put.response", () => encode((w) => writePutResponse(w, header, kv("/a", "old")))],
    [
      "delete.response",
      () => encode((w) => writeDeleteResponse(w, header, { deleted: 2, prevKvs: [kv("/a", "1"), kv("/b", "2")] })),
    ],
    [
      "txn.response",
      () => {
        const at = revision(header.revision);
        const read = { revision: at, kvs: [kv("/a", "one")], more: false, count: 1 };
        return encode((w) =>
          writeTxnResponse(w, header, {
            revision: at,
            succeeded: true,
            results: [
              { kind: "put", prevKv: undefined },
              { kind: "range", range: read },
              { kind: "delete", revision: at, deleted: 1, prevKvs: [] },
              { kind: "txn", txn: { revision: at, succeeded: false, results: [] } },
            ],
          }),
        );
      },
    ],
    ["watch.responseCreated", () => encodeWatchResponse({ header, watchId: 3, created: true })],
    [
      "watch.responseRefused",
      () =>
        encodeWatchResponse({
          header,
          watchId: -1,
          created: true,
          canceled: true,
          cancelReason: "mvcc: watcher range is empty",
        }),
    ],
    [
      "watch.responseCompacted",
      () => encodeWatchResponse({ header, watchId: 3, canceled: true, compactRevision: 4_294_967_299 }),
    ],
    [
      "watch.responseEvents",
      () =>
        encodeWatchResponse({
          header,
          watchId: 3,
          fragment: true,
          events: [
            encodeEvent({ type: "put", kv: kv("/a", "new"), prevKv: kv("/a", "old") }, true),
            encodeEvent({ type: "delete", kv: kv("/b", ""), prevKv: kv("/b", "x") }, false),
          ],
        }),
    ],
    ["lease.grantResponse", () => encode((w) => writeLease(w, header, { id: LEASE, ttlSeconds: 3660 }))],
    ["lease.keepAliveResponse", () => encode((w) => writeLease(w, header, { id: -3n, ttlSeconds: 0 }))],
    [
      "lease.timeToLiveResponse",
      () =>
        encode((w) =>
          writeLeaseTimeToLive(w, header, {
            id: LEASE,
            grantedTtlSeconds: 60,
            remainingTtlSeconds: -1,
            keys: [Buffer.from("/a"), Buffer.from("/b")],
          }),
        ),
    ],
    ["lease.leasesResponse", () => encode((w) => writeLeases(w, header, [LEASE, 1n]))],
    [
      "status.response",
      () => {
        const sizes = { dbSizeBytes: 4_294_967_299, dbSizeInUseBytes: 4096 };
        const revisions = { revision: revision(header.revision), compactRevision: revision(1) };
        return encode((w) =>
          writeStatus(w, header, { ...sizes, ...revisions, version: "3.6.11", storageVersion: "", isFull: false }),
        );
      },
    ],
    [
      "memberList.response",
      () => {
        const member = { name: "node1", peerUrls: [], clientUrls: ["unix:///run/kine.sock"] };
        return encode((w) => writeMemberList(w, header, member));
      },
    ],
    ["header.response", () => encode((w) => writeHeader(w, header))],
    ["health.response", () => encodeHealth(ServingStatus.serving)],
  ];
  for (const [name, bytes] of encoders) {
    test(`the encoder of ${name} writes etcd's bytes`, () => assertRecorded(bytes(), name));
  }

  test("encodeEvent() leaves the previous value out unless asked for", () => {
    const event = { type: "put", kv: kv("/a", "new"), prevKv: kv("/a", "old") } as const;
    assert.ok(!encodeEvent(event, false).includes("old"));
  });
});

function kvBytes(one: KeyValue): Buffer {
  return encode((w) => {
    w.bigint64(6, one.lease);
    w.bytes(5, one.value);
    w.int64(4, one.version);
    w.int64(3, one.modRevision);
    w.int64(2, one.createRevision);
    w.bytes(1, one.key);
  });
}
