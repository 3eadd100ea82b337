import { access, constants, stat } from "node:fs/promises";
import { Latest } from "@k3s/async";
import { describeError } from "@k3s/errors";
import type { Component, StartContext } from "@k3s/lifecycle";
import type { Logger } from "@k3s/log";
import { removeRecord, saveRecord, type RecordsPlace } from "./child-record.ts";
import { ProcessError } from "./errors.ts";
import type { OutputEcho } from "./follow-output.ts";
import {
  defaultRestartPolicy,
  runForever,
  type ExitStatus,
  type RestartPolicy,
  type RunResult,
} from "./restart-policy.ts";
import { rawLogLimits, RotatingFile } from "./rotating-file.ts";
import { runChild, type ChildCommand, type RunChildOptions } from "./run-child.ts";
import { untilAborted } from "./until-aborted.ts";
import { waitUntilReady, type ReadinessProbe } from "./wait-until-ready.ts";

export interface SupervisedChildOptions {
  /** Lower-case and unique in the node: component name, `child` in the log, file name of the record. */
  readonly name: string;
  readonly log: Logger;
  /** Asked anew for each start; what it throws is logged and tried again like a failed start. */
  readonly command: (signal: AbortSignal) => Promise<ChildCommand> | ChildCommand;
  readonly isReady: ReadinessProbe;
  /** Checked by prepare(): without it no start can succeed. */
  readonly executable?: string;
  /** Default: SIGTERM. */
  readonly stopSignal?: NodeJS.Signals;
  /** Between stop signal and SIGKILL. Default: no limit but that of stop(). */
  readonly killGraceMs?: number;
  readonly policy?: Partial<RestartPolicy>;
  /** -1000 to 1000; silently not set where that is not allowed. */
  readonly oomScoreAdj?: number;
  /** Where the child is written down, so that the next start finds it if we cannot end it. */
  readonly records?: RecordsPlace;
  /** A file that takes the output as it comes, rotated; `echo` says what of it is in the log as well. */
  readonly rawOutput?: { readonly path: string; readonly echo: OutputEcho };
  /** Told when the child is ready again after a restart. */
  readonly onRestarted?: () => void;
}

/**
 *   stopped --start--> starting --ready--> ready --exit--> backoff --delay--> starting ...
 *      ^                   '------exit------------------------^
 *      '---- reaped ---- stopping <--stop-- (any)
 */
type ChildPhase = "stopped" | "starting" | "ready" | "backoff" | "stopping";

export interface ChildState {
  readonly phase: ChildPhase;
  /** Of the running process. */
  readonly pid: number | undefined;
  /** How many times it was started again since start(). */
  readonly restarts: number;
  /** How the last run ended; an Error when there was no process. */
  readonly lastExit: ExitStatus | Error | undefined;
}

/** One call of start() until the end of stop(). */
interface Session {
  readonly stop: AbortController;
  readonly hurry: AbortController;
  readonly firstReady: PromiseWithResolvers<void>;
  done: Promise<void>;
}

const STOPPED: ChildState = { phase: "stopped", pid: undefined, restarts: 0, lastExit: undefined };
/** Kept to say what a program complained about before it ended. */
const TAIL_LINES = 5;
/** A Go program that ends by itself prints the state of its goroutines after the reason: hundreds of lines that hide it. */
const DUMP = /^goroutine \d+ \[/;
/** How often a child that runs but is not ready is mentioned. */
const REMIND_MS = 15_000;

/** A program that is kept running until it is stopped. Its death is an event that is logged and repaired. */
export class SupervisedChild implements Component {
  readonly name: string;
  readonly state = new Latest<ChildState>(STOPPED);
  readonly #options: SupervisedChildOptions;
  readonly #log: Logger;
  readonly #policy: RestartPolicy;
  readonly #raw: RotatingFile | undefined;
  #session: Session | undefined;
  #problem = "it has not answered yet";
  #tail: string[] = [];
  #isDumping = false;

  constructor(options: SupervisedChildOptions) {
    this.name = options.name;
    this.#options = options;
    this.#log = options.log.child({ child: options.name });
    this.#policy = { ...defaultRestartPolicy, ...options.policy };
    const raw = options.rawOutput;
    this.#raw = raw === undefined ? undefined : new RotatingFile({ path: raw.path, ...rawLogLimits }, this.#log);
  }

  async prepare(): Promise<void> {
    const { executable } = this.#options;
    if (executable !== undefined) await assertExecutable(this.name, executable);
  }

  /** Resolves once the child is ready; until then it is restarted like later. After stop() it may be called again. */
  async start({ signal, lost }: StartContext): Promise<void> {
    signal.throwIfAborted();
    if (this.#session !== undefined) throw new Error(`Cannot start "${this.name}": it is started already`);
    const session: Session = {
      stop: new AbortController(),
      hurry: new AbortController(),
      firstReady: Promise.withResolvers(),
      done: Promise.resolve(),
    };
    this.#session = session;
    this.state.set({ ...STOPPED, phase: "starting" });
    session.done = this.#supervise(session).catch(lost);
    try {
      await untilAborted(session.firstReady.promise, AbortSignal.any([signal, session.stop.signal]));
    } catch (error) {
      throw ProcessError.notReady(this.name, { problem: this.#problem, file: this.#options.rawOutput?.path }, error);
    }
  }

  async stop(hurry: AbortSignal): Promise<void> {
    const session = this.#session;
    if (session === undefined) return;
    const force = () => session.hurry.abort(hurry.reason);
    if (hurry.aborted) force();
    else hurry.addEventListener("abort", force, { once: true });
    if (!session.stop.signal.aborted) {
      this.#update({ phase: "stopping" });
      session.stop.abort(new Error("it is being stopped"));
    }
    try {
      await session.done;
    } finally {
      hurry.removeEventListener("abort", force);
      if (this.#session === session) this.#session = undefined;
    }
  }

  /** Rejects with how the last process ended while there is no other, and with what the readiness check says. */
  async checkHealth(signal: AbortSignal): Promise<void> {
    if (this.state.get().pid === undefined) throw new Error(this.#problem);
    await this.#options.isReady(signal);
  }

  async #supervise(session: Session): Promise<void> {
    try {
      await runForever(
        () => this.#runOnce(session),
        { policy: this.#policy, onEnd: (result, delayMs) => this.#backOff(result, delayMs) },
        session.stop.signal,
      );
    } finally {
      await this.#raw?.close();
      this.#update({ phase: "stopped", pid: undefined });
    }
  }

  async #runOnce(session: Session): Promise<RunResult> {
    const { phase, restarts } = this.state.get();
    if (phase === "backoff") this.#update({ phase: "starting", restarts: restarts + 1 });
    this.#tail = [];
    this.#isDumping = false;
    const startedAt = performance.now();
    const ended = new AbortController();
    let readyAt = Infinity;
    let ready = Promise.resolve();
    const onSpawn = (pid: number, file: string) => {
      this.#update({ pid });
      const onReady = () => {
        readyAt = performance.now();
        this.#becomeReady(session, Math.round(readyAt - startedAt));
      };
      const recorded = this.#record(pid, file);
      ready = this.#watchReadiness(AbortSignal.any([ended.signal, session.stop.signal]), recorded, onReady);
    };
    const end = await this.#runToEnd(session, onSpawn);
    ended.abort();
    await ready;
    await this.#forget();
    this.#noteEnd(end, session.stop.signal);
    return { end, readyMs: Math.max(0, performance.now() - readyAt) };
  }

  /** Never rejects: that there is nothing to run is one of the ways in which a run can end. */
  async #runToEnd(session: Session, onSpawn: (pid: number, file: string) => void): Promise<ExitStatus | Error> {
    const stop = session.stop.signal;
    try {
      const command = await untilAborted(this.#options.command(stop), stop);
      const options = this.#runOptions(command, session.hurry.signal);
      return await runChild({ ...options, onSpawn: (pid) => onSpawn(pid, command.file) }, stop);
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error));
    }
  }

  #runOptions(command: ChildCommand, hurry: AbortSignal): RunChildOptions {
    const { name, log, records, rawOutput, stopSignal, killGraceMs, oomScoreAdj } = this.#options;
    return {
      ...{ name, log, command, hurry, onLine: (line) => this.#keepLine(line) },
      ...(stopSignal === undefined ? {} : { stopSignal }),
      ...(killGraceMs === undefined ? {} : { killGraceMs }),
      ...(oomScoreAdj === undefined ? {} : { oomScoreAdj }),
      ...(records === undefined ? {} : { owner: records.owner }),
      ...(this.#raw === undefined ? {} : { raw: { file: this.#raw, echo: rawOutput?.echo ?? "none" } }),
    };
  }

  /** Resolves when the child is ready or `signal` says that it ended first. Never rejects. */
  async #watchReadiness(signal: AbortSignal, recorded: Promise<void>, onReady: () => void): Promise<void> {
    let remindAt = performance.now() + REMIND_MS;
    const onNotReady = (error: unknown) => {
      this.#problem = `it is not ready: ${describeError(error)}`;
      if (performance.now() < remindAt) return;
      remindAt = performance.now() + REMIND_MS;
      this.#log.warn({ error }, "child is still not ready");
    };
    try {
      await waitUntilReady(this.#options.isReady, { onNotReady }, signal);
    } catch {
      // the child's end or stop() came first; both are reported elsewhere
    }
    await recorded;
    if (!signal.aborted) onReady();
  }

  #becomeReady(session: Session, durationMs: number): void {
    const { pid, restarts } = this.state.get();
    this.#update({ phase: "ready" });
    this.#log.info({ pid, durationMs, restarts }, "child is ready");
    const isFirst = restarts === 0;
    session.firstReady.resolve();
    if (isFirst) return;
    try {
      this.#options.onRestarted?.();
    } catch (error) {
      this.#log.error({ error }, "cannot finish the restart of a child");
    }
  }

  #noteEnd(end: ExitStatus | Error, stop: AbortSignal): void {
    const { pid } = this.state.get();
    if (!stop.aborted || !(end instanceof Error)) this.#update({ pid: undefined, lastExit: end });
    if (!stop.aborted) this.#problem = describeEnd(end, this.#tail);
    else if (!(end instanceof Error)) this.#log.info({ pid, how: describeExit(end) }, "child has stopped");
  }

  #backOff({ end }: RunResult, delayMs: number): void {
    this.#update({ phase: "backoff" });
    const { restarts } = this.state.get();
    if (end instanceof Error) this.#log.error({ error: end, restarts, delayMs }, "cannot start child, trying again");
    else {
      const fields = { how: describeExit(end), restarts, delayMs, lastLines: this.#tail };
      this.#log.warn(fields, "child has ended, starting it again");
    }
  }

  #keepLine(line: string): void {
    this.#isDumping ||= DUMP.test(line);
    if (this.#isDumping || line.trim() === "") return;
    this.#tail = [...this.#tail, line].slice(-TAIL_LINES);
  }

  async #record(pid: number, file: string): Promise<void> {
    const { name, records } = this.#options;
    try {
      if (records !== undefined) await saveRecord(records, { name, pid, file });
    } catch (error) {
      this.#log.warn({ pid, error }, "cannot write down child, its mark has to do");
    }
  }

  async #forget(): Promise<void> {
    const { name, records } = this.#options;
    try {
      if (records !== undefined) await removeRecord(records, name);
    } catch (error) {
      this.#log.warn({ error }, "cannot remove record of child");
    }
  }

  #update(change: Partial<ChildState>): void {
    this.state.set({ ...this.state.get(), ...change });
  }
}

function describeEnd(end: ExitStatus | Error, tail: readonly string[]): string {
  if (end instanceof Error) return describeError(end);
  const last = tail.at(-1);
  return `it ended ${describeExit(end)}${last === undefined ? "" : `, its last words are "${last}"`}`;
}

function describeExit({ code, signal }: ExitStatus): string {
  return signal === null ? `with code ${code}` : `by signal ${signal}`;
}

async function assertExecutable(name: string, path: string): Promise<void> {
  try {
    await access(path, constants.X_OK);
    if (!(await stat(path)).isFile()) throw new Error("it is not a regular file");
  } catch (error) {
    throw ProcessError.executableUnusable(name, path, error);
  }
}
