import { Latest, sleep } from "@k3s/async";
import type { Component, StartContext } from "@k3s/lifecycle";
import type { Logger } from "@k3s/log";
import { waitpid } from "@k3s/native";
import { listProcesses } from "./proc-table.ts";

/** Node reaps its own children within one turn of the event loop; what is dead for this long is nobody's but ours. */
const CONFIRM_MS = 1000;

/**
 * Reaps the orphans that the kernel hands to us when we are process 1: whatever a child, a shim or a pod has left behind.
 * Node's own children must be left to Node, which would wait for ever for one that we had taken; they cannot be told by
 * their ids, so only a process that is seen dead twice, a second apart, is reaped.
 */
export class ZombieReaper implements Component {
  readonly name = "zombie-reaper";
  readonly #log: Logger;
  readonly #deaths = new Latest(0);
  readonly #stop = new AbortController();
  #loop: Promise<void> = Promise.resolve();

  constructor(log: Logger) {
    this.#log = log.child({ component: this.name });
  }

  start({ lost }: StartContext): Promise<void> {
    const onDeath = () => this.#deaths.set(this.#deaths.get() + 1);
    process.on("SIGCHLD", onDeath);
    this.#stop.signal.addEventListener("abort", () => process.off("SIGCHLD", onDeath), { once: true });
    onDeath(); // orphans may have died before anybody listened
    this.#loop = this.#reapUntilStopped(this.#stop.signal).catch((error: unknown) => {
      if (!this.#stop.signal.aborted) lost(error instanceof Error ? error : new Error(String(error)));
    });
    return Promise.resolve();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#loop;
  }

  async #reapUntilStopped(signal: AbortSignal): Promise<void> {
    for (let seen = 0; ;) {
      seen = await this.#deaths.until((deaths) => deaths > seen, signal);
      let suspects = await findZombies();
      while (suspects.size > 0) {
        await sleep(CONFIRM_MS, signal);
        const zombies = await findZombies();
        for (const pid of zombies.intersection(suspects)) this.#reap(pid);
        suspects = zombies.difference(suspects);
      }
    }
  }

  #reap(pid: number): void {
    try {
      const status = waitpid(pid);
      this.#log.debug({ pid, status }, "reaped orphan");
    } catch (error) {
      const reapedMeanwhile = error instanceof Error && "code" in error && error.code === "ECHILD";
      if (!reapedMeanwhile) throw error;
    }
  }
}

async function findZombies(): Promise<Set<number>> {
  const rows = await listProcesses();
  return new Set(rows.filter((row) => row.state === "Z" && row.parentPid === process.pid).map((row) => row.pid));
}
