export { EtcdApiError } from "./errors.ts";
export { EtcdApiServer, type EtcdApiServerOptions } from "./etcd-api-server.ts";
export type { MessageStream, Method, MethodTable, StreamHandler, UnaryHandler } from "./method.ts";
export { serveGrpcJs, type ServeAddresses, type Serving } from "./serve-grpc-js.ts";
export { createServices, type ServiceOptions } from "./services.ts";
