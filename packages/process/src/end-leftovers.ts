import { basename } from "node:path";
import { deadline, retry } from "@k3s/async";
import type { Logger } from "@k3s/log";
import { loadRecords, removeRecord, type RecordsPlace } from "./child-record.ts";
import { ProcessError } from "./errors.ts";
import { isAlive, listProcesses, readBootId, readExecutable, readProcess, readVariable } from "./proc-table.ts";

export interface LeftoverOptions extends RecordsPlace {
  /** Between SIGTERM and SIGKILL. Default: 5 s. */
  readonly graceMs?: number;
}

interface Leftover {
  readonly name: string;
  readonly pid: number;
  readonly startTicks: string;
}

/** The variable that k3s-launch sets to `owner:pid:startTicks`; see csrc/k3s-launch.c of the native package. */
const MARK_VARIABLE = "K3S_SUPERVISED_BY";
const DEFAULT_GRACE_MS = 5000;
const POLL = { delayMinMs: 10, delayMaxMs: 250 } as const;

/**
 * Ends the children of an earlier supervisor of the same data directory, SIGTERM first, and resolves with their number
 * once they are gone. Call it before starting children and while holding the lock on the data directory: it ends the
 * children of a running supervisor too. Rejects with ProcessError when one cannot be ended before `signal` aborts.
 */
export async function endLeftovers(options: LeftoverOptions, log: Logger, signal: AbortSignal): Promise<number> {
  const recorded = await findRecorded(options, log);
  const marked = await findMarked(options.owner);
  const leftovers = new Map([...marked, ...recorded].map((leftover) => [leftover.pid, leftover]));
  await Promise.all([...leftovers.values()].map((leftover) => endOne(leftover, { options, log, signal })));
  await Promise.all(recorded.map(({ name }) => removeRecord(options, name)));
  return leftovers.size;
}

/** Our records whose process still is the one written down; our others are removed, those of another owner left alone. */
async function findRecorded(place: RecordsPlace, log: Logger): Promise<readonly Leftover[]> {
  const bootId = await readBootId();
  const found: Leftover[] = [];
  const records = await loadRecords(place, log);
  for (const record of records.filter(({ owner }) => owner === place.owner)) {
    if (record.bootId === bootId && (await isStillThere(record))) found.push(record);
    else await removeRecord(place, record.name);
  }
  return found;
}

/** Whether {@link endLeftovers} would end the process by its mark; `owner` comes from `ownerOf`. */
export async function isLeftover(owner: string, pid: number): Promise<boolean> {
  const row = await readProcess(pid);
  return row !== undefined && isAlive(row) && (await bearsMark(owner, row));
}

/**
 * Whether the mark of a process names itself. A shim inherits containerd's environment, but the mark in it names
 * containerd, so whatever a child has started does not count; a recycled process id has another start time.
 */
async function bearsMark(owner: string, { pid, startTicks }: Pick<Leftover, "pid" | "startTicks">): Promise<boolean> {
  return (await readVariable(pid, MARK_VARIABLE)) === `${owner}:${pid}:${startTicks}`;
}

async function findMarked(owner: string): Promise<readonly Leftover[]> {
  const candidates = (await listProcesses()).filter(isAlive);
  const found = candidates.map(async ({ pid, startTicks }) => {
    if (!(await bearsMark(owner, { pid, startTicks }))) return undefined;
    return { name: basename((await readExecutable(pid)) ?? "unknown"), pid, startTicks };
  });
  return (await Promise.all(found)).filter((leftover) => leftover !== undefined);
}

interface EndingContext {
  readonly options: LeftoverOptions;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

async function endOne(leftover: Leftover, { options, log, signal }: EndingContext): Promise<void> {
  const { name, pid } = leftover;
  log.warn({ child: name, pid }, "ending process left over from an earlier run");
  try {
    if (!(await endBy("SIGTERM", leftover, { ms: options.graceMs ?? DEFAULT_GRACE_MS, signal }))) {
      log.warn({ child: name, pid }, "left-over process ignores SIGTERM, killing it");
      await endBy("SIGKILL", leftover, { signal });
    }
  } catch (error) {
    throw ProcessError.leftoverAlive(name, pid, error);
  }
}

/** False when the process outlives `ms`; without `ms` it waits until `signal` aborts, and then rejects. */
async function endBy(
  name: NodeJS.Signals,
  leftover: Leftover,
  limit: { readonly ms?: number; readonly signal: AbortSignal },
): Promise<boolean> {
  if (!(await isStillThere(leftover))) return true;
  sendSignal(leftover.pid, name);
  const assertGone = async () => {
    if (await isStillThere(leftover)) throw new Error(`it ignores ${name}`);
  };
  if (limit.ms === undefined) {
    await retry(assertGone, POLL, limit.signal);
    return true;
  }
  using grace = deadline(limit.ms, "ending a left-over process", limit.signal);
  try {
    await retry(assertGone, POLL, grace);
    return true;
  } catch (error) {
    if (limit.signal.aborted) throw error;
    return false;
  }
}

function sendSignal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    const endedMeanwhile = error instanceof Error && "code" in error && error.code === "ESRCH";
    if (!endedMeanwhile) throw error;
  }
}

/** Same id and same start time: a process id is used again after a while, the pair is not. */
async function isStillThere(leftover: Leftover): Promise<boolean> {
  const row = await readProcess(leftover.pid);
  return row !== undefined && row.startTicks === leftover.startTicks && isAlive(row);
}
