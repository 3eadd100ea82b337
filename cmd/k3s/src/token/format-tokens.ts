import { formatExpiry, type BootstrapToken } from "@k3s/token";
import { stringify } from "yaml";
import { UsageError } from "../errors.ts";

const FORMATS = ["text", "json", "yaml"] as const;
export type OutputFormat = (typeof FORMATS)[number];

const HEADER = ["TOKEN", "TTL", "EXPIRES", "USAGES", "DESCRIPTION", "EXTRA GROUPS"];
/** As k3s sets its columns. */
const CELL_MIN = 10;
const PADDING = 3;

/** Throws UsageError for a format there is not. */
export function parseOutputFormat(text: string): OutputFormat {
  const format = FORMATS.find((name) => name === text);
  if (format !== undefined) return format;
  throw UsageError.wrongSettings([`--output must be text, json or yaml: current value is "${text}"`], "k3s token list");
}

/** The tokens as `k3s token list` prints them. The table names ids only; JSON and YAML hold the whole tokens. */
export function formatTokens(tokens: readonly BootstrapToken[], format: OutputFormat, now: Date): string {
  switch (format) {
    case "json":
      return `${JSON.stringify(tokens.map(toJson))}\n`;
    case "yaml":
      return stringify(tokens.map(toJson));
    case "text":
      return formatTable([HEADER, ...tokens.map((token) => toCells(token, now))]);
  }
}

/** The form of kubeadm: what is empty is left out. */
function toJson({ id, secret, description, expires, usages, groups }: BootstrapToken): object {
  return {
    token: `${id}.${secret}`,
    ...(description === "" ? {} : { description }),
    ...(expires === undefined ? {} : { expires: formatExpiry(expires) }),
    ...(usages.length === 0 ? {} : { usages }),
    ...(groups.length === 0 ? {} : { groups }),
  };
}

function toCells({ id, description, expires, usages, groups }: BootstrapToken, now: Date): readonly string[] {
  const ttl = expires === undefined ? "<forever>" : formatShortDuration(expires.getTime() - now.getTime());
  const end = expires === undefined ? "<never>" : formatExpiry(expires);
  // One token, one line, whatever was written into the secret.
  return [id, ttl, end, joined(usages), joined([description]), joined(groups)].map((cell) => cell.replace(/\s/g, " "));
}

function joined(texts: readonly string[]): string {
  return texts.join(",") || "<none>";
}

/** The largest unit that is there, as Kubernetes shows ages. */
function formatShortDuration(ms: number): string {
  const seconds = Math.trunc(ms / 1000);
  if (seconds < -1) return "<invalid>";
  if (seconds < 60) return `${Math.max(seconds, 0)}s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)}m`;
  const hours = Math.floor(seconds / 3600);
  if (hours < 24) return `${hours}h`;
  return hours < 24 * 365 ? `${Math.floor(hours / 24)}d` : `${Math.floor(hours / 24 / 365)}y`;
}

function formatTable(rows: readonly (readonly string[])[]): string {
  const widths = HEADER.map((_, column) =>
    Math.max(CELL_MIN, ...rows.map((cells) => (cells[column] ?? "").length + PADDING)),
  );
  const line = (cells: readonly string[]) =>
    cells.map((cell, column) => (column === HEADER.length - 1 ? cell : cell.padEnd(widths[column] ?? 0))).join("");
  return rows.map((cells) => `${line(cells)}\n`).join("");
}
