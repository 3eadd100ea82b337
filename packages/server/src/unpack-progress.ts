import type { Logger } from "@k3s/log";

/** Between two lines; what is faster needs none. */
const INTERVAL_MS = 2_000;

/** Says now and then how much of the components was copied. `now` in milliseconds. */
export function unpackProgress(
  log: Logger,
  now: () => number = () => performance.now(),
): (doneBytes: number, totalBytes: number) => void {
  let saidAt = now();
  return (doneBytes, totalBytes) => {
    if (now() - saidAt < INTERVAL_MS) return;
    saidAt = now();
    const percent = Math.floor((100 * doneBytes) / Math.max(totalBytes, 1));
    log.info({ percent, bytes: doneBytes, totalBytes }, "copying components to the data directory");
  };
}
