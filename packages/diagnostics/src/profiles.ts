import { Session } from "node:inspector/promises";
import { sleep } from "@k3s/async";

/** What a process can be asked about itself. `cpu`: where time goes. `heap`: where memory is taken. */
export type ProfileKind = "cpu" | "heap";

/** Average bytes between two samples of the heap (Go's runtime.MemProfileRate). */
const HEAP_SAMPLE_BYTES = 512 * 1024;

/** Watches the main thread of this process, for one caller at a time. */
export class Profiler {
  #isBusy = false;

  /**
   * Returns what V8 saw in that time, as JSON: the content of a `.cpuprofile` or `.heapprofile` file. Names of functions and
   * files are in it, values are not. Undefined: somebody else's profile is being taken. Rejects when `signal` aborts.
   */
  async take(kind: ProfileKind, durationMs: number, signal: AbortSignal): Promise<string | undefined> {
    if (this.#isBusy) return undefined;
    this.#isBusy = true;
    const session = new Session();
    const profile = kind === "cpu" ? cpuProfile : heapProfile;
    try {
      session.connect();
      return JSON.stringify(await profile(session, () => sleep(durationMs, signal)));
    } finally {
      session.disconnect(); // which also ends what is being recorded
      this.#isBusy = false;
    }
  }
}

async function cpuProfile(session: Session, pass: () => Promise<void>): Promise<object> {
  await session.post("Profiler.enable");
  await session.post("Profiler.start");
  await pass();
  return (await session.post("Profiler.stop")).profile;
}

async function heapProfile(session: Session, pass: () => Promise<void>): Promise<object> {
  await session.post("HeapProfiler.startSampling", { samplingInterval: HEAP_SAMPLE_BYTES });
  await pass();
  return (await session.post("HeapProfiler.stopSampling")).profile;
}
