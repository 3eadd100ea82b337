import { execFile } from "node:child_process";
import { readdir } from "node:fs/promises";
import { promisify } from "node:util";

const run = promisify(execFile);

/** Lets a process that runs open only `more` files beyond those that it has open. */
export async function limitFiles(pid: number, more: number): Promise<void> {
  const open = (await readdir(`/proc/${pid}/fd`)).length;
  await run("prlimit", [`--pid=${pid}`, `--nofile=${open + more}:`]);
}
