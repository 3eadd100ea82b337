import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";

export interface ChildOptions {
  /** Absolute path. */
  readonly file: string;
  readonly argument: string;
  readonly execArgv?: readonly string[];
  /** Beside what it inherits. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** What a child answers: `failure` is the text of an error. */
export type ChildAnswer<T> = { readonly value: T } | { readonly failure: string };

/** No step of a bench takes longer. */
const ANSWER_LIMIT_MS = 20 * 60_000;

/** One of our own processes. It begins with a message, answers one question at a time, and ends when the channel closes. */
export class Child implements AsyncDisposable {
  readonly greeting: string;
  readonly #process: ChildProcess;

  private constructor(child: ChildProcess, greeting: string) {
    this.#process = child;
    this.greeting = greeting;
  }

  static async start({ file, argument, execArgv = [], environment = {} }: ChildOptions): Promise<Child> {
    const child = fork(file, [argument], {
      execArgv: [...execArgv],
      env: { ...process.env, ...environment },
      serialization: "advanced", // JSON knows no NaN
    });
    const greeting = await answer<string>(child);
    return new Child(child, greeting);
  }

  get pid(): number {
    return this.#process.pid ?? 0;
  }

  get hasEnded(): boolean {
    return this.#process.exitCode !== null || this.#process.signalCode !== null;
  }

  /** Rejects with what the child says failed, and when it ends or does not answer. */
  async ask<T>(question: object): Promise<T> {
    this.#process.send(question);
    return answer<T>(this.#process);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.hasEnded) return;
    const gone = once(this.#process, "exit");
    this.#process.disconnect();
    await gone;
  }
}

async function answer<T>(child: ChildProcess): Promise<T> {
  const waiting = new AbortController();
  const limit = AbortSignal.timeout(ANSWER_LIMIT_MS);
  const signal = AbortSignal.any([waiting.signal, limit]);
  const ended = once(child, "exit", { signal }).then(([code]) => {
    throw new Error(`Cannot measure: process ${child.pid ?? 0} ended with ${String(code ?? "a signal")}`);
  });
  try {
    const [message] = (await Promise.race([once(child, "message", { signal }), ended])) as [ChildAnswer<T>];
    if ("failure" in message) throw new Error(message.failure);
    return message.value;
  } finally {
    if (limit.aborted) child.kill("SIGKILL"); // a late answer would be taken for that of the next question
    waiting.abort();
    await ended.catch(() => undefined);
  }
}
