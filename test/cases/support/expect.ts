import assert from "node:assert/strict";
import { status } from "@grpc/grpc-js";

/** Asserts that a call is refused with exactly this status. */
export async function refuses(call: Promise<unknown>, code: keyof typeof status, details: string): Promise<void> {
  await assert.rejects(call, { code: status[code], details });
}

/** etcd's words for what is asked for and gone, or not there yet. */
export const COMPACTED = "etcdserver: mvcc: required revision has been compacted";
export const FUTURE = "etcdserver: mvcc: required revision is a future revision";
