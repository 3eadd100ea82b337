export { EtcdClient, type EtcdClientOptions, type EtcdTlsFiles } from "./etcd-client.ts";
export { EtcdCallError, EtcdClientError } from "./errors.ts";
export type { EtcdKeyValue, EtcdLease, EtcdRange, EtcdStatus, RangeRequest } from "./messages.ts";
