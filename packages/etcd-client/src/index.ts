export { EtcdClient, type EtcdClientOptions } from "./etcd-client.ts";
export { EtcdCallError, EtcdClientError } from "./errors.ts";
export type { EtcdKeyValue, EtcdLease } from "./messages.ts";
