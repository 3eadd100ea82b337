import type { StoreHash, StoreStatus } from "@k3s/datastore";
import { decodeInto } from "../proto/proto-reader.ts";
import type { ProtoWriter } from "../proto/proto-writer.ts";
import { writeHeader, type Header } from "./common.ts";

/** etcdserverpb.StatusResponse of the only, and therefore leading, member. */
export function writeStatus(
  writer: ProtoWriter,
  header: Header,
  status: StoreStatus & { readonly version: string; readonly storageVersion: string; readonly isFull: boolean },
): void {
  writer.string(11, status.storageVersion);
  writer.int64(9, status.dbSizeInUseBytes);
  if (status.isFull) writer.string(8, `memberID:${BigInt.asUintN(64, header.memberId)} alarm:NOSPACE `);
  writer.int64(7, header.revision);
  writer.int64(6, header.raftTerm);
  writer.int64(5, header.revision);
  writer.bigint64(4, header.memberId);
  writer.int64(3, status.dbSizeBytes);
  writer.string(2, status.version);
  writeHeader(writer, header);
}

type AlarmAction = "get" | "activate" | "deactivate" | "unknown";
const alarmActions: readonly AlarmAction[] = ["get", "activate", "deactivate"];

/** etcdserverpb.AlarmType.NOSPACE: no room for puts. */
const NO_SPACE = 1;

/** etcdserverpb.AlarmRequest. */
export interface AlarmRequest {
  readonly action: AlarmAction;
  /** Whether NOSPACE is among the alarms that are asked for. */
  readonly isAboutSpace: boolean;
}

export function decodeAlarm(bytes: Buffer): AlarmRequest {
  const { action, type } = decodeInto({ action: 0, type: 0 }, bytes, {
    1: (m, r) => (m.action = r.int64()),
    3: (m, r) => (m.type = r.int64()),
  });
  return { action: alarmActions[action] ?? "unknown", isAboutSpace: type === 0 || type === NO_SPACE };
}

/** etcdserverpb.AlarmResponse, with the alarm NOSPACE or without one. */
export function writeAlarms(writer: ProtoWriter, header: Header, isFull: boolean): void {
  if (isFull)
    writer.message(2, () => {
      writer.int64(2, NO_SPACE);
      writer.bigint64(1, header.memberId);
    });
  writeHeader(writer, header);
}

/** The revision of an etcdserverpb.HashKVRequest; 0: the current one. */
export function decodeHashRevision(bytes: Buffer): number {
  return decodeInto({ revision: 0 }, bytes, { 1: (m, r) => (m.revision = r.int64()) }).revision;
}

/** etcdserverpb.HashResponse. */
export function writeHash(writer: ProtoWriter, header: Header, hash: number): void {
  writer.int64(2, hash);
  writeHeader(writer, header);
}

/** etcdserverpb.HashKVResponse. Without a compaction etcd says -1. */
export function writeHashKv(writer: ProtoWriter, header: Header, answer: StoreHash): void {
  writer.int64(4, answer.hashRevision);
  writer.int64(3, answer.compactRevision === 0 ? -1 : answer.compactRevision);
  writer.int64(2, answer.hash);
  writeHeader(writer, header);
}

export interface SnapshotPart {
  readonly remainingBytes: number;
  readonly blob: Buffer;
  readonly version: string;
}

/** etcdserverpb.SnapshotResponse. */
export function writeSnapshotPart(writer: ProtoWriter, header: Header, part: SnapshotPart): void {
  writer.string(4, part.version);
  writer.bytes(3, part.blob);
  writer.int64(2, part.remainingBytes);
  writeHeader(writer, header);
}

export interface Member {
  readonly name: string;
  readonly peerUrls: readonly string[];
  readonly clientUrls: readonly string[];
}

/** Field 1 of MoveLeaderRequest and of the requests that name a member. */
export function decodeMemberId(bytes: Buffer): bigint {
  return BigInt.asUintN(64, decodeInto({ id: 0n }, bytes, { 1: (m, r) => (m.id = r.bigint64()) }).id);
}

/** etcdserverpb.MemberListResponse with one member. */
export function writeMemberList(writer: ProtoWriter, header: Header, member: Member): void {
  writer.message(2, () => {
    for (const url of member.clientUrls.toReversed()) writer.string(4, url);
    for (const url of member.peerUrls.toReversed()) writer.string(3, url);
    writer.string(2, member.name);
    writer.bigint64(1, header.memberId);
  });
  writeHeader(writer, header);
}
