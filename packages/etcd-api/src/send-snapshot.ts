import { createHash } from "node:crypto";
import { writeSnapshotPart } from "./messages/maintenance.ts";
import type { MessageStream } from "./method.ts";
import { encode } from "./proto/proto-writer.ts";
import { RpcError } from "./rpc-error.ts";
import type { ServiceContext } from "./service-context.ts";
import { STORAGE_VERSION } from "./version.ts";

/**
 * Answers etcdserverpb.Maintenance/Snapshot as etcd does: the file in pieces, then its SHA-256, which clients keep at the end of what
 * they save. The file has the format of our database, not that of etcd's.
 */
export async function sendSnapshot(context: ServiceContext, call: MessageStream): Promise<void> {
  const { store } = context;
  await using snapshot = await store.snapshot();
  if (snapshot === undefined) throw RpcError.noSnapshot();
  const header = context.header(store.currentRevision);
  const send = (remainingBytes: number, blob: Buffer) => {
    const part = { remainingBytes, blob, version: STORAGE_VERSION };
    return call.write(encode((writer) => writeSnapshotPart(writer, header, part)));
  };
  const digest = createHash("sha256");
  let remainingBytes = snapshot.sizeBytes;
  for await (const blob of snapshot.chunks) {
    digest.update(blob);
    remainingBytes -= blob.length;
    await send(remainingBytes, blob);
  }
  await send(0, digest.digest());
}
