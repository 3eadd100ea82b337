import type { DestinationStream } from "pino";

interface Line {
  readonly level: string;
  readonly time: string;
  readonly msg?: string;
  readonly component?: string;
  readonly [field: string]: unknown;
}

/** Turns pino's JSON lines into `time LEVEL component: message key=value …`. */
export function textStream(write: (line: string) => void): DestinationStream {
  return { write: (json) => write(formatLine(JSON.parse(json) as Line)) };
}

function formatLine({ level, time, msg, component, ...fields }: Line): string {
  const pairs = Object.entries(fields).map(([key, value]) => ` ${key}=${formatValue(value)}`);
  const place = component === undefined ? "" : ` ${component}:`;
  return `${time} ${level.toUpperCase().padEnd(5)}${place} ${msg ?? ""}${pairs.join("")}\n`;
}

function formatValue(value: unknown): string {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return /^[^\s"=]+$/.test(text) ? text : JSON.stringify(text);
}
