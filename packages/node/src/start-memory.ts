import { sleep } from "@k3s/async";
import type { Component } from "@k3s/lifecycle";
import type { Logger } from "@k3s/log";
import { releaseCode, releaseFree } from "@k3s/native";

/** By then a node on a slow machine is ready too. Too early costs memory, never more. */
const SETTLED_MS = 60_000;

/** Gives back what only the start needed: most of Node's code that a start touches is not used again, 25 MB of it. */
export function startMemory(log: Logger): Component {
  const stop = new AbortController();
  return {
    name: "start-memory",
    start: () => {
      void releaseOnceSettled(log, stop.signal);
      return Promise.resolve();
    },
    stop: () => {
      stop.abort();
      return Promise.resolve();
    },
  };
}

async function releaseOnceSettled(log: Logger, signal: AbortSignal): Promise<void> {
  try {
    await sleep(SETTLED_MS, signal);
    releaseCode();
    releaseFree();
  } catch (error) {
    if (!signal.aborted) log.debug({ error }, "cannot give back the memory of the start");
  }
}
