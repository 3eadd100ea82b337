import { stripVTControlCharacters } from "node:util";
import type { LogLevel } from "@k3s/log";

/** What a line of a child's output says, once its own time stamp and header are taken off. */
export interface ParsedLine {
  readonly level: LogLevel;
  readonly message: string;
  /** Where in the child's sources it was written, such as `server.go:123`. */
  readonly source?: string;
  /** Further fields of a structured line. */
  readonly data?: Readonly<Record<string, unknown>>;
}

// k8s.io/klog: Lmmdd hh:mm:ss.uuuuuu threadid file:line] msg
const KLOG = /^([IWEF])\d{4} \d\d:\d\d:\d\d\.\d{6}\s+\d+ ([^\]\s]+:\d+)\] ?(.*)$/s;
// sirupsen/logrus, text formatter: time="…" level=info msg="…" key=value …
const LOGRUS = /^time=(?:"[^"]*"|\S+) level=(\w+) (.*)$/s;
const LOGRUS_MESSAGE = /(?:^| )msg=("(?:[^"\\]|\\.)*"|\S*)/;
// coreos/capnslog, which etcd 3.4 writes by default: 2023-01-02 03:04:05.678901 I | package: msg
const CAPNSLOG = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d+ ([A-Z]) \| (.*)$/s;
const LAUNCHER = "k3s-launch: ";

const LEVELS: Readonly<Record<string, LogLevel>> = {
  T: "debug",
  D: "debug",
  I: "info",
  N: "info",
  W: "warn",
  E: "error",
  C: "error",
  F: "error",
  trace: "debug",
  debug: "debug",
  info: "info",
  warn: "warn",
  warning: "warn",
  error: "error",
  dpanic: "error",
  panic: "error",
  fatal: "error",
};

/** Understands the log formats of the Kubernetes components, containerd and etcd; anything else is level info as it is. */
export function parseLogLine(text: string): ParsedLine {
  const line = printable(text);
  return (
    parseKlog(line) ??
    parseLogrus(line) ??
    parseJson(line) ??
    parseCapnslog(line) ?? { level: line.startsWith(LAUNCHER) ? "error" : "info", message: line }
  );
}

/** Control sequences could repaint the terminal or forge lines; tabs stay. */
function printable(text: string): string {
  const plain = text.includes("\u001b") ? stripVTControlCharacters(text) : text;
  return plain.replace(/[\u0000-\u0008\u000a-\u001f\u007f]/g, "\ufffd");
}

function parseKlog(line: string): ParsedLine | undefined {
  const [, letter = "", source = "", message = ""] = KLOG.exec(line) ?? [];
  return letter === "" ? undefined : { level: levelOf(letter), message, source };
}

function parseLogrus(line: string): ParsedLine | undefined {
  const [, level = "", rest = ""] = LOGRUS.exec(line) ?? [];
  if (level === "") return undefined;
  const [found = "", quoted = ""] = LOGRUS_MESSAGE.exec(rest) ?? [];
  const parts = [unquote(quoted), rest.replace(found, "").trim()];
  return { level: levelOf(level), message: parts.filter(Boolean).join(" ") };
}

/** Go's quoting is JSON's but for escapes such as \x00, which then stay as they are. */
function unquote(text: string): string {
  if (!text.startsWith('"')) return text;
  try {
    return String(JSON.parse(text));
  } catch {
    return text.slice(1, -1);
  }
}

// zap (etcd, and Kubernetes with --logging-format=json) and logrus' JSON formatter (containerd).
function parseJson(line: string): ParsedLine | undefined {
  if (!line.startsWith("{") || !line.endsWith("}")) return undefined;
  const record = parseRecord(line);
  const { level, msg, caller, ts: _ts, time: _time, ...rest } = record;
  if (typeof msg !== "string") return undefined;
  return {
    level: typeof level === "string" ? levelOf(level) : "err" in rest ? "error" : "info",
    message: msg,
    ...(typeof caller === "string" ? { source: caller } : {}),
    ...(Object.keys(rest).length > 0 ? { data: rest } : {}),
  };
}

function parseRecord(line: string): Readonly<Record<string, unknown>> {
  try {
    return JSON.parse(line) as Record<string, unknown>; // sound: it begins with a brace, so it is an object
  } catch {
    return {};
  }
}

function parseCapnslog(line: string): ParsedLine | undefined {
  const [, letter = "", message = ""] = CAPNSLOG.exec(line) ?? [];
  return letter === "" ? undefined : { level: levelOf(letter), message };
}

function levelOf(name: string): LogLevel {
  return LEVELS[name] ?? LEVELS[name.toLowerCase()] ?? "info";
}
