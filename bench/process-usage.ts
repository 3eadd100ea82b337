import { readFile } from "node:fs/promises";

/** Clock ticks of /proc/PID/stat: a hundredth of a second on every Linux that Node runs on. */
const TICK_MICROS = 10_000;

/** Memory of a process in MiB, shared pages counted in part. */
export async function pssMiB(pid: number): Promise<number> {
  const rollup = await readFile(`/proc/${pid}/smaps_rollup`, "utf8");
  return Number(/^Pss:\s+(\d+) kB/m.exec(rollup)?.[1] ?? 0) / 1024;
}

/** Memory of a process and of everything it started. */
export async function treePssMiB(pid: number): Promise<number> {
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8");
  const parts = await Promise.all(
    children
      .split(" ")
      .filter(Boolean)
      .map((child) => treePssMiB(Number(child))),
  );
  return parts.reduce((sum, part) => sum + part, await pssMiB(pid));
}

/** Processor time of all threads of a process so far. */
export async function cpuMicros(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) * TICK_MICROS;
}
