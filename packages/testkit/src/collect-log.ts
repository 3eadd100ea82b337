import { createLogger, type Logger } from "@k3s/log";

/** A logger that keeps its lines. */
export function collectLog(): { readonly log: Logger; readonly lines: string[] } {
  const lines: string[] = [];
  return { log: createLogger({ level: "info", format: "json", write: (line) => lines.push(line) }), lines };
}
