import { join } from "node:path";
import { Child } from "./child.ts";
import type { Job } from "./jobs.ts";
import type { Figures } from "./load.ts";

/** The process that makes the load. One that ended is replaced at the next job, which has to be "connect" or complete in itself. */
export class LoadGenerator implements AsyncDisposable {
  #child: Child | undefined;

  /** One job at a time. Rejects with what failed. */
  async run(job: Job): Promise<Figures> {
    if (this.#child === undefined || this.#child.hasEnded) this.#child = await startChild();
    return this.#child.ask<Figures>(job);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child?.[Symbol.asyncDispose]();
  }
}

function startChild(): Promise<Child> {
  const file = join(import.meta.dirname, "../load-generator.ts");
  return Child.start({ file, argument: "", execArgv: ["--no-warnings"] });
}
