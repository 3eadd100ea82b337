import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { Latest } from "@k3s/async";
import { createLogger, type Logger } from "@k3s/log";
import type { StartContext } from "@k3s/lifecycle";
import { isAlive, readProcess } from "../src/proc-table.ts";

export interface LogEntry {
  readonly level: string;
  readonly msg: string;
  readonly [field: string]: unknown;
}

/** Longer than anything here takes on a busy machine. */
export const LIMIT_MS = 20_000;

/** A real logger whose lines can be waited for. */
export class LogBook {
  readonly entries = new Latest<readonly LogEntry[]>([]);
  readonly log: Logger = createLogger({
    level: "debug",
    format: "json",
    write: (line) => this.entries.set([...this.entries.get(), JSON.parse(line) as LogEntry]),
  });

  /** The first entry, written already or in the future, that `accept` accepts. */
  async find(accept: (entry: LogEntry) => boolean): Promise<LogEntry> {
    const entries = await this.entries.until((all) => all.some(accept), limit());
    return entries.find(accept) as LogEntry; // sound: some() has just said so
  }
}

export function limit(): AbortSignal {
  return AbortSignal.timeout(LIMIT_MS);
}

export function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "process-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A start that gives up after the limit and must not report a loss. */
export function startContext(signal: AbortSignal = limit()): StartContext {
  const lost = (error: Error) => {
    throw error;
  };
  return { signal, lost };
}

export async function isRunning(pid: number): Promise<boolean> {
  const row = await readProcess(pid);
  return row !== undefined && isAlive(row);
}

/** Resolves once the process is gone or a zombie; rejects when that takes longer than `ms`. */
export async function untilGone(pid: number, ms = LIMIT_MS): Promise<void> {
  const signal = AbortSignal.timeout(ms);
  while (await isRunning(pid)) {
    signal.throwIfAborted();
    await new Promise((resolve) => setImmediate(resolve));
  }
}

/** Resolves once the process is in the state with that letter of proc(5). */
export async function untilState(pid: number, state: string): Promise<void> {
  const signal = limit();
  while ((await readProcess(pid))?.state !== state) signal.throwIfAborted();
}

/** Ends a process of the test whose handle is out of reach; it is fine if it has ended. */
export function killAfter(t: TestContext, pid: number): void {
  t.after(() => {
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // it has ended, which is what the test wanted
    }
  });
}
