import { join } from "node:path";
import { Child } from "./child.ts";
import type { Job } from "./jobs.ts";
import type { Figures } from "./load.ts";

/** The process that makes the load. */
export class LoadGenerator implements AsyncDisposable {
  readonly #child: Child;

  private constructor(child: Child) {
    this.#child = child;
  }

  static async start(): Promise<LoadGenerator> {
    return new LoadGenerator(
      await Child.start({
        file: join(import.meta.dirname, "../load-generator.ts"),
        argument: "",
        execArgv: ["--no-warnings"],
      }),
    );
  }

  run(job: Job): Promise<Figures> {
    return this.#child.ask<Figures>(job);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#child[Symbol.asyncDispose]();
  }
}
