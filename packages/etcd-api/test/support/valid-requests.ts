import {
  compare,
  deleteRequest,
  int64Message,
  modEquals,
  putRequest,
  rangeRequest,
  txnOp,
  txnRequest,
  watchRequest,
} from "@k3s/testkit";
import { encode } from "../../src/proto/proto-writer.ts";
import { decodeHealthCheck } from "../../src/messages/health.ts";
import { decodeLeaseGrant, decodeLeaseId, decodeLeaseTimeToLive } from "../../src/messages/lease.ts";
import { decodeAlarm, decodeHashRevision, decodeMemberId } from "../../src/messages/maintenance.ts";
import { decodeRange } from "../../src/messages/range.ts";
import { decodeWatchRequest } from "../../src/messages/watch.ts";
import { decodeCompaction, decodeDelete, decodePut } from "../../src/messages/write.ts";
import { toTxn } from "../../src/txn-translation.ts";

/** One method: messages that it takes, and what reads them. Without `decode` it does not look at its message. */
interface ValidRequests {
  readonly requests: readonly Buffer[];
  readonly decode?: (bytes: Buffer) => unknown;
}

const EMPTY = Buffer.alloc(0);
const KEY = "/fuzz/key";
const END = "/fuzz0";
const LEASE = 7_587_862_094_993_408_001n;

const range = rangeRequest({ key: KEY, end: END, limit: 7, revision: 1, sort: [2, 1], keysOnly: true, maxMod: 99 });
const put = putRequest({ key: KEY, value: "value", prevKv: true });
const txn = txnRequest({
  compare: [
    modEquals(KEY, 3),
    compare({ key: KEY, end: END, target: "value", result: "less", value: "v" }),
    compare({ key: KEY, target: "lease", value: LEASE }),
  ],
  success: [txnOp.put({ key: KEY, value: "v" }), txnOp.range({ key: KEY, end: END }), txnOp.delete("/fuzz/other")],
  failure: [txnOp.txn(txnRequest({ success: [txnOp.range({ key: KEY })] }))],
});
const health = encode((writer) => writer.string(1, "etcdserverpb.KV"));

const auth = Object.fromEntries(
  ["Authenticate", "AuthDisable", "AuthEnable", "AuthStatus"]
    .concat(["UserAdd", "UserChangePassword", "UserDelete", "UserGet", "UserGrantRole", "UserList", "UserRevokeRole"])
    .concat(["RoleAdd", "RoleDelete", "RoleGet", "RoleGrantPermission", "RoleList", "RoleRevokePermission"])
    .map((name): [string, ValidRequests] => [`/etcdserverpb.Auth/${name}`, { requests: [EMPTY] }]),
);

/** Valid messages for every method of the API. */
export const VALID_REQUESTS: Readonly<Record<string, ValidRequests>> = {
  "/etcdserverpb.KV/Range": { requests: [range, rangeRequest({ key: KEY })], decode: decodeRange },
  "/etcdserverpb.KV/Put": { requests: [put, putRequest({ key: KEY, lease: LEASE })], decode: decodePut },
  "/etcdserverpb.KV/DeleteRange": {
    requests: [deleteRequest({ key: KEY, end: END, prevKv: true })],
    decode: decodeDelete,
  },
  "/etcdserverpb.KV/Txn": { requests: [txn], decode: toTxn },
  "/etcdserverpb.KV/Compact": { requests: [int64Message({ 1: 1, 2: 1 })], decode: decodeCompaction },
  "/etcdserverpb.Watch/Watch": {
    requests: [
      watchRequest.create({
        key: KEY,
        end: END,
        start: 2,
        progress: true,
        prevKv: true,
        filters: [0, 1],
        fragment: true,
      }),
      watchRequest.cancel(300),
      watchRequest.progress(),
    ],
    decode: decodeWatchRequest,
  },
  "/etcdserverpb.Lease/LeaseGrant": { requests: [int64Message({ 1: 60, 2: LEASE })], decode: decodeLeaseGrant },
  "/etcdserverpb.Lease/LeaseRevoke": { requests: [int64Message({ 1: LEASE })], decode: decodeLeaseId },
  "/etcdserverpb.Lease/LeaseTimeToLive": {
    requests: [int64Message({ 1: LEASE, 2: 1 })],
    decode: decodeLeaseTimeToLive,
  },
  "/etcdserverpb.Lease/LeaseKeepAlive": { requests: [int64Message({ 1: LEASE })], decode: decodeLeaseId },
  "/etcdserverpb.Lease/LeaseLeases": { requests: [EMPTY] },
  "/etcdserverpb.Maintenance/Alarm": { requests: [int64Message({ 2: 5, 3: 1 })], decode: decodeAlarm },
  "/etcdserverpb.Maintenance/HashKV": { requests: [int64Message({ 1: 1 })], decode: decodeHashRevision },
  "/etcdserverpb.Maintenance/Hash": { requests: [EMPTY] },
  "/etcdserverpb.Maintenance/Status": { requests: [EMPTY] },
  "/etcdserverpb.Maintenance/Defragment": { requests: [EMPTY] },
  "/etcdserverpb.Maintenance/Snapshot": { requests: [EMPTY] },
  "/etcdserverpb.Maintenance/MoveLeader": { requests: [int64Message({ 1: 5 })], decode: decodeMemberId },
  "/etcdserverpb.Maintenance/Downgrade": { requests: [EMPTY] },
  "/etcdserverpb.Cluster/MemberList": { requests: [int64Message({ 1: 1 })] },
  "/etcdserverpb.Cluster/MemberAdd": { requests: [EMPTY] },
  "/etcdserverpb.Cluster/MemberRemove": { requests: [int64Message({ 1: 5 })], decode: decodeMemberId },
  "/etcdserverpb.Cluster/MemberUpdate": { requests: [int64Message({ 1: 5 })], decode: decodeMemberId },
  "/etcdserverpb.Cluster/MemberPromote": { requests: [int64Message({ 1: 5 })], decode: decodeMemberId },
  ...auth,
  "/grpc.health.v1.Health/Check": { requests: [health], decode: decodeHealthCheck },
  "/grpc.health.v1.Health/Watch": { requests: [health], decode: decodeHealthCheck },
};
