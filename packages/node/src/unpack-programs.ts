import { unpackComponents, type ComponentSet } from "@k3s/components";
import type { Logger } from "@k3s/log";
import type { NodeHost } from "./node-parts.ts";

/** Between two lines; what is faster needs none. */
const INTERVAL_MS = 2_000;

/** Brings the upstream programs into the data dir and says so when that takes a while. */
export function unpackPrograms(dataDir: string, host: NodeHost, signal: AbortSignal): Promise<ComponentSet> {
  const { log, components } = host;
  return unpackComponents({ from: components, dataDir, log, onProgress: unpackProgress(log), signal });
}

/** Says now and then how much of the components was unpacked. `now` in milliseconds. */
export function unpackProgress(
  log: Logger,
  now: () => number = () => performance.now(),
): (doneBytes: number, totalBytes: number) => void {
  let saidAt = now();
  return (doneBytes, totalBytes) => {
    if (now() - saidAt < INTERVAL_MS) return;
    saidAt = now();
    const percent = Math.floor((100 * doneBytes) / Math.max(totalBytes, 1));
    log.info({ percent, bytes: doneBytes, totalBytes }, "unpacking components to the data directory");
  };
}
