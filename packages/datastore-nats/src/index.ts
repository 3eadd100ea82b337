export type { TlsFiles } from "./connect-nats.ts";
export { NatsError } from "./errors.ts";
export { parseNatsEndpoint, type NatsEndpoint } from "./nats-endpoint.ts";
export { openNatsDriver, type NatsDriverOptions } from "./open-nats-driver.ts";
