import { writeHeader } from "./messages/common.ts";
import {
  decodeAlarm,
  decodeHashRevision,
  decodeMemberId,
  writeAlarms,
  writeHash,
  writeHashKv,
  writeStatus,
} from "./messages/maintenance.ts";
import { stream, unary, type Method } from "./method.ts";
import { encode } from "./proto/proto-writer.ts";
import { RpcError } from "./rpc-error.ts";
import { sendSnapshot } from "./send-snapshot.ts";
import type { ServiceContext } from "./service-context.ts";
import { ETCD_VERSION, STORAGE_VERSION } from "./version.ts";

/** etcdserverpb.Maintenance. */
export function maintenanceService(context: ServiceContext): [string, Method][] {
  const { store } = context;

  const status = async () => {
    const current = await store.status();
    const header = context.header(current.revision);
    return encode((writer) =>
      writeStatus(writer, header, {
        ...current,
        version: ETCD_VERSION,
        storageVersion: STORAGE_VERSION,
        isFull: store.isFull,
      }),
    );
  };
  const alarm = (bytes: Buffer) => {
    const { action, isAboutSpace } = decodeAlarm(bytes);
    if (action === "activate" || action === "unknown") throw RpcError.unimplemented("raising an alarm by hand");
    // Never taken back by hand: it ends with the first put that fits.
    const isListed = action === "get" && isAboutSpace && store.isFull;
    return encode((writer) => writeAlarms(writer, context.header(store.currentRevision), isListed));
  };
  const defragment = async () => {
    await store.defragment();
    return encode((writer) => writeHeader(writer, context.header(store.currentRevision)));
  };

  /** The one member leads already. */
  const moveLeader = (bytes: Buffer) => {
    const header = context.header(store.currentRevision);
    if (decodeMemberId(bytes) !== header.memberId) throw RpcError.failedPrecondition("bad leader transferee");
    return encode((writer) => writeHeader(writer, header));
  };

  const hash = async () => {
    const answer = await store.hash(0);
    return encode((writer) => writeHash(writer, context.header(answer.revision), answer.hash));
  };
  const hashKv = async (bytes: Buffer) => {
    const answer = await store.hash(decodeHashRevision(bytes));
    return encode((writer) => writeHashKv(writer, context.header(answer.revision), answer));
  };

  return [
    unary("/etcdserverpb.Maintenance/Status", status),
    unary("/etcdserverpb.Maintenance/Hash", hash),
    unary("/etcdserverpb.Maintenance/HashKV", hashKv),
    unary("/etcdserverpb.Maintenance/Alarm", async (bytes) => Promise.resolve(alarm(bytes))),
    unary("/etcdserverpb.Maintenance/Defragment", defragment),
    unary("/etcdserverpb.Maintenance/MoveLeader", async (bytes) => Promise.resolve(moveLeader(bytes))),
    unary("/etcdserverpb.Maintenance/Downgrade", () => Promise.reject(RpcError.unimplemented("Downgrade"))),
    stream("/etcdserverpb.Maintenance/Snapshot", (call) => sendSnapshot(context, call)),
  ];
}
