import { describeError } from "@k3s/errors";
import { pino, type DestinationStream } from "pino";
import { REDACTED, redactPaths, redactText } from "./redact.ts";
import { textStream } from "./text-stream.ts";

/** In rising order. error: someone must act; warn: degraded, but going on; info: changed state; debug: the rest. */
export type LogLevel = "debug" | "info" | "warn" | "error";

/** The fixed keys of the house; anything else a line needs is allowed beside them. */
interface LogFields {
  readonly component?: string;
  readonly node?: string;
  /** Name of a supervised program. */
  readonly child?: string;
  readonly pid?: number | undefined;
  readonly revision?: number;
  readonly durationMs?: number;
  readonly error?: unknown;
  readonly [field: string]: unknown;
}

/** Messages are constant strings; data goes into fields. Safe to call after the destination is gone. */
export interface Logger {
  child(fields: LogFields): Logger;
  log(level: LogLevel, fields: LogFields, message: string): void;
  debug(fields: LogFields, message: string): void;
  info(fields: LogFields, message: string): void;
  warn(fields: LogFields, message: string): void;
  error(fields: LogFields, message: string): void;
}

/** What the root of all loggers writes, and where to. */
export interface LoggerOptions {
  readonly level: LogLevel;
  /** `text` is one readable line each, `json` is pino's own form. */
  readonly format: "text" | "json";
  /** Takes whole lines, each with its line feed. */
  readonly write: (line: string) => void;
}

/** The root of all loggers. Everything below gets its logger by argument, as a child of this one. */
export function createLogger(options: LoggerOptions): Logger {
  const destination: DestinationStream =
    options.format === "json" ? { write: options.write } : textStream(options.write);
  return wrap(
    pino(
      {
        level: options.level,
        base: null,
        redact: { paths: [...redactPaths], censor: REDACTED },
        serializers: { error: serializeError },
        timestamp: () => `,"time":"${new Date().toISOString()}"`,
        formatters: { level: (label) => ({ level: label }) },
      },
      destination,
    ),
  );
}

type Pino = ReturnType<typeof pino>;

function wrap(inner: Pino): Logger {
  const log = (level: LogLevel, fields: LogFields, message: string) => inner[level](fields, message);
  return {
    child: (fields) => wrap(inner.child(fields)),
    log,
    debug: (fields, message) => log("debug", fields, message),
    info: (fields, message) => log("info", fields, message),
    warn: (fields, message) => log("warn", fields, message),
    error: (fields, message) => log("error", fields, message),
  };
}

function serializeError(error: unknown): string {
  return redactText(describeError(error));
}
