import { readFile } from "node:fs/promises";

/** What a process holds of the machine's memory, its share of shared pages included, in bytes. */
export async function proportionalBytes(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/smaps_rollup`, "utf8");
  const kib = /^Pss:\s+(\d+) kB$/m.exec(text)?.[1];
  if (kib === undefined) throw new Error(`Cannot read memory of process ${pid}`);
  return Number(kib) * 1024;
}
