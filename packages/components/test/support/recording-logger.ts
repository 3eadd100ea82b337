import { createLogger, type Logger } from "@k3s/log";

/** A logger whose lines end up in the returned list. */
export function recordingLogger(): { readonly log: Logger; readonly lines: string[] } {
  const lines: string[] = [];
  return { log: createLogger({ level: "debug", format: "text", write: (line) => void lines.push(line) }), lines };
}
