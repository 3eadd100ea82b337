import type { ProtoWriter } from "../proto/proto-writer.ts";
import { writeHeader, type Header } from "./common.ts";

/** What etcd counts changes of users and roles from. */
const FIRST_AUTH_REVISION = 1;

/** etcdserverpb.AuthStatusResponse of a server that asks nobody who they are. */
export function writeAuthStatus(writer: ProtoWriter, header: Header): void {
  writer.int64(3, FIRST_AUTH_REVISION);
  writeHeader(writer, header);
}
