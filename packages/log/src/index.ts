export { endSchemeAt, findCredentials, hideSecrets, isSecretName, type Span } from "./hide-secrets.ts";
export { createLogger, type Logger, type LoggerOptions, type LogLevel } from "./logger.ts";
export { redactText } from "./redact.ts";
