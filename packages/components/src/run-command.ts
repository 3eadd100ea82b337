import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { ComponentError } from "./errors.ts";

export interface CommandOptions {
  /** Completes "Cannot …" in the error when the command fails. */
  readonly purpose: string;
  readonly cwd?: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal?: AbortSignal | undefined;
  /** Told of each line that the command writes to standard error. */
  readonly onLine?: (line: string) => void;
}

const KEPT_LINES = 12;

/** Runs a program to its end and returns its standard output. Rejects with ERR_COMPONENT_BUILD and its last lines. */
export async function runCommand(argv: readonly [string, ...string[]], options: CommandOptions): Promise<string> {
  const { purpose, cwd, env, signal, onLine } = options;
  const [command, ...args] = argv;
  const child = spawn(command, args, { cwd, env: { ...env }, signal, stdio: ["ignore", "pipe", "pipe"] });
  const ended = once(child, "close") as Promise<[number | null, NodeJS.Signals | null]>;
  const tail: string[] = [];
  const note = (line: string) => {
    if (tail.push(line) > KEPT_LINES) tail.shift();
    onLine?.(line);
  };
  try {
    const [[code, by], output] = await Promise.all([ended, readAll(child.stdout), readLines(child.stderr, note)]);
    if (code === 0) return output;
    throw ComponentError.build(purpose, `${command} ended with ${code ?? by ?? "no status"}: ${tail.join(" | ")}`);
  } catch (error) {
    signal?.throwIfAborted();
    if (error instanceof ComponentError) throw error;
    throw ComponentError.build(purpose, `${command}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

async function readAll(stream: Readable): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer); // no encoding is set: chunks are Buffers
  return Buffer.concat(chunks).toString();
}

async function readLines(stream: Readable, onLine: (line: string) => void): Promise<void> {
  for await (const line of createInterface({ input: stream })) onLine(line);
}
