export { EtcdApiServer } from "./etcd-api-server.ts";
