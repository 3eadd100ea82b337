import { readdir, readFile } from "node:fs/promises";
import { until } from "./until.ts";

/** State letter behind the program's name, which may hold brackets itself. */
const STOPPED = /\) T /;

/** SIGSTOP. Resolves when no thread of the process runs any more: on a busy machine the signal takes a while to reach them. */
export async function freezeProcess(pid: number): Promise<void> {
  process.kill(pid, "SIGSTOP");
  await until(`process ${pid} is frozen`, () => isFrozen(pid));
}

async function isFrozen(pid: number): Promise<boolean> {
  const folder = `/proc/${pid}/task`;
  const stats = (await readdir(folder)).map((task) => readFile(`${folder}/${task}/stat`, "utf8"));
  return (await Promise.all(stats)).every((stat) => STOPPED.test(stat));
}
