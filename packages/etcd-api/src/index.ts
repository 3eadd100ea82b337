export { EtcdApiServer } from "./etcd-api-server.ts";
export type { TlsIdentity } from "./listen.ts";
export { decodeInto, type Fields, type ProtoReader } from "./proto/proto-reader.ts";
export { encode, type ProtoWriter } from "./proto/proto-writer.ts";
export type { TransportName } from "./transport.ts";
