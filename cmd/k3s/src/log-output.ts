import { createLogger, type Logger } from "@k3s/log";
import { rawLogLimits, RotatingFile } from "@k3s/process";
import { LogError } from "./errors.ts";

/** Where a command's log lines go. */
export interface LogOutput {
  readonly log: Logger;
  /** Whether the lines go to stderr, where whoever started the command looks. */
  readonly isOnStderr: boolean;
  /** Resolves once every line is written. */
  close(): Promise<void>;
}

/** Text lines to stderr, or to a file that begins anew at 50 MB, or to both. Rejects with LogError when it cannot be written. */
export async function openLog(options: {
  readonly debug: boolean;
  readonly file: string | undefined;
  readonly alsoStderr: boolean;
}): Promise<LogOutput> {
  const level = options.debug ? "debug" : "info";
  const toStderr = createLogger({ level, format: "text", write: (line) => void process.stderr.write(line) });
  if (options.file === undefined) return { log: toStderr, isOnStderr: true, close: () => Promise.resolve() };

  const file = new RotatingFile({ path: options.file, ...rawLogLimits }, toStderr);
  try {
    await file.open();
  } catch (error) {
    throw LogError.notWritable(options.file, error);
  }
  const write = (line: string) => {
    void file.write(Buffer.from(line)); // never rejects
    if (options.alsoStderr) process.stderr.write(line);
  };
  return {
    log: createLogger({ level, format: "text", write }),
    isOnStderr: options.alsoStderr,
    close: () => file.close(),
  };
}
