import { readdir, readFile, readlink } from "node:fs/promises";

/** One row of the process table. `pid` and `startTicks` together name a process for as long as the machine is up. */
export interface ProcessRow {
  readonly pid: number;
  readonly parentPid: number;
  /** The letter of proc(5); Z and X are dead already. */
  readonly state: string;
  /** Clock ticks between boot and the start of the process, as text: it is only ever compared. */
  readonly startTicks: string;
}

/** The process, or undefined when there is none of that id. */
export async function readProcess(pid: number): Promise<ProcessRow | undefined> {
  const text = await readOrUndefined(`/proc/${pid}/stat`);
  if (text === undefined) return undefined;
  // proc(5): field 2 is the program's name in parentheses and may itself hold blanks and parentheses.
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
  const [state = "", parentPid = ""] = fields;
  const startTicks = fields[19];
  if (startTicks === undefined) return undefined;
  return { pid, parentPid: Number(parentPid), state, startTicks };
}

/** Every process that can be seen from here; those that end meanwhile are left out. */
export async function listProcesses(): Promise<readonly ProcessRow[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name)).map(Number);
  const rows = await Promise.all(pids.map(readProcess));
  return rows.filter((row) => row !== undefined);
}

/** Whether the process runs, as opposed to having ended and waiting to be reaped. */
export function isAlive(row: ProcessRow): boolean {
  return row.state !== "Z" && row.state !== "X";
}

/** One variable of the environment a process was started with; undefined also when it may not be read. */
export async function readVariable(pid: number, name: string): Promise<string | undefined> {
  const environment = await readOrUndefined(`/proc/${pid}/environ`);
  const entry = environment?.split("\0").find((variable) => variable.startsWith(`${name}=`));
  return entry?.slice(name.length + 1);
}

/** The file a process runs; undefined when it has none or it may not be read. */
export async function readExecutable(pid: number): Promise<string | undefined> {
  try {
    return (await readlink(`/proc/${pid}/exe`)).replace(/ \(deleted\)$/, "");
  } catch {
    return undefined;
  }
}

/** Names one run of the kernel: after it process ids and start times begin anew. */
export async function readBootId(): Promise<string> {
  return ((await readOrUndefined("/proc/sys/kernel/random/boot_id")) ?? "").trim();
}

/** Processes come and go while we look, and some belong to others: either way there is nothing to read. */
async function readOrUndefined(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch {
    return undefined;
  }
}
