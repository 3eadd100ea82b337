import { runProgram } from "@k3s/node-runtime";
import type { ClockFacts } from "../host-facts.ts";
import { isThere } from "./read-file.ts";

interface ClockOptions {
  readonly notBeforeMs: number;
  readonly path: string;
  readonly signal: AbortSignal;
}

/** Reads the clock and asks who might know whether it is right. */
export async function inspectClock({ notBeforeMs, path, signal }: ClockOptions): Promise<ClockFacts> {
  return { nowMs: Date.now(), notBeforeMs, isSynchronized: await isSynchronized(path, signal) };
}

async function isSynchronized(path: string, signal: AbortSignal): Promise<boolean | undefined> {
  if (await isThere("/run/systemd/timesync/synchronized")) return true;
  // Says what the kernel says, whichever service has set it.
  const answer = await runProgram(["timedatectl", "show", "--property=NTPSynchronized", "--value"], { path, signal })
    .then((text) => text.trim())
    .catch(() => "");
  if (answer === "yes" || answer === "no") return answer === "yes";
  const chrony = await runProgram(["chronyc", "-n", "tracking"], { path, signal }).catch(() => "");
  const leap = /^Leap status\s*:\s*(.+)$/m.exec(chrony)?.[1];
  return leap === undefined ? undefined : leap.trim() !== "Not synchronised";
}
