export { redactEndpoint } from "./redact-endpoint.ts";
