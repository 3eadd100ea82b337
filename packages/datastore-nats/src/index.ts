export type { TlsFiles } from "./connect-nats.ts";
export { NatsError } from "./errors.ts";
export { parseNatsEndpoint, type NatsEndpoint } from "./nats-endpoint.ts";
export { openNatsDriver } from "./open-nats-driver.ts";
export { openNatsReader } from "./open-nats-reader.ts";
