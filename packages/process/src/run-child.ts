import { once } from "node:events";
import type { Readable } from "node:stream";
import { sleep } from "@k3s/async";
import type { Logger } from "@k3s/log";
import { launcherPath } from "@k3s/native";
import { execa } from "execa";
import { ProcessError } from "./errors.ts";
import { followOutput, type OutputEcho } from "./follow-output.ts";
import type { ExitStatus } from "./restart-policy.ts";
import type { RotatingFile } from "./rotating-file.ts";

/** What to run. `env` is the whole environment; without a slash `file` is looked up in its PATH. */
export interface ChildCommand {
  readonly file: string;
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Default: the root folder, which nothing can unmount under it. */
  readonly cwd?: string;
}

export interface RunChildOptions {
  /** Stands as `child` in the log. */
  readonly name: string;
  readonly log: Logger;
  readonly command: ChildCommand;
  /** What asks the program to end. Default: SIGTERM. */
  readonly stopSignal?: NodeJS.Signals;
  /** When this aborts the program is killed with SIGKILL, also when `stop` has not aborted. */
  readonly hurry?: AbortSignal;
  /** Own limit between stop signal and SIGKILL. Default: none but `hurry`. */
  readonly killGraceMs?: number;
  /** -1000 (never the victim) to 1000; silently not set where that is not allowed. */
  readonly oomScoreAdj?: number;
  /** Marks the program's environment as ours, see `ownerOf`. */
  readonly owner?: string;
  /** Takes the output as it comes; `echo` says what of it is in the log as well. Default: all goes to the log, and nowhere else. */
  readonly raw?: { readonly file: RotatingFile; readonly echo: OutputEcho };
  /** Told of each line of the output, redacted, whether it is logged or not. */
  readonly onLine?: (line: string) => void;
  readonly onSpawn?: (pid: number) => void;
}

/** A program that is gone can leave its output open to programs it has started; we do not wait for those. */
const DRAIN_MS = 250;
/** Meant for us by the service manager; a child that uses them would speak in our name (sd_notify(3), sd_watchdog_enabled(3)). */
const NOT_INHERITED = new Set(["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"]);

/**
 * Runs a program once, to its end, with its output in the log. It has a session of its own, so that a Ctrl-C reaches only
 * us, and the kernel kills it when we die, however we die. When `stop` aborts it gets the stop signal. Resolves once it
 * is reaped; a file that cannot be executed ends with code 127 or 126 and a line that says why.
 * Rejects with ProcessError when no process could be made, and with the reason when `stop` has aborted already.
 * To be called on the main thread: the kernel ties the child to the thread that made it.
 */
export async function runChild(options: RunChildOptions, stop: AbortSignal): Promise<ExitStatus> {
  stop.throwIfAborted();
  const { name, command } = options;
  const child = execa(launcherPath(), launcherArguments(options), {
    env: Object.fromEntries(Object.entries(command.env).filter(([key]) => !NOT_INHERITED.has(key))),
    extendEnv: false,
    cwd: "/",
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    encoding: "buffer",
    buffer: false,
    reject: false,
    cleanup: false,
    forceKillAfterDelay: false,
  });
  if (child.pid === undefined) throw ProcessError.spawnFailed(name, (await child).cause);
  const exited = once(child.nodeChildProcess, "exit") as Promise<[number | null, NodeJS.Signals | null]>; // its documented arguments
  const output = [follow(child, "stdout", options), follow(child, "stderr", options)];
  options.onSpawn?.(child.pid);

  const ending = endOnRequest(child, options, stop);
  const [code, signal] = await exited;
  ending[Symbol.dispose]();
  await drain(output, child);
  await child;
  return { code, signal };
}

function launcherArguments({ command, oomScoreAdj, owner }: RunChildOptions): string[] {
  return [
    ...["--parent", String(process.pid), "--session", "--chdir", command.cwd ?? "/"],
    ...(oomScoreAdj === undefined ? [] : ["--oom-score-adj", String(oomScoreAdj)]),
    ...(owner === undefined ? [] : ["--mark", owner]),
    ...["--", command.file, ...command.args],
  ];
}

interface Child {
  readonly pid?: number;
  readonly stdout: Readable;
  readonly stderr: Readable;
  kill(signal: NodeJS.Signals): boolean;
}

function follow(child: Child, stream: "stdout" | "stderr", options: RunChildOptions): Promise<void> {
  const log = options.log.child({ child: options.name, pid: child.pid, stream });
  return followOutput(child[stream], {
    log,
    echo: options.raw?.echo ?? "debug",
    raw: options.raw?.file,
    onLine: options.onLine ?? (() => undefined),
  });
}

/** Sends the signals that `stop`, `hurry` and the grace ask for, until it is disposed of. */
function endOnRequest(child: Child, options: RunChildOptions, stop: AbortSignal): Disposable {
  const over = new AbortController();
  const kill = () => void child.kill("SIGKILL");
  const end = () => {
    child.kill(options.stopSignal ?? "SIGTERM");
    if (options.killGraceMs !== undefined) void sleep(options.killGraceMs, over.signal).then(kill, () => undefined);
  };
  onAbort(stop, end, over.signal);
  if (options.hurry !== undefined) onAbort(options.hurry, kill, over.signal);
  return { [Symbol.dispose]: () => over.abort() };
}

function onAbort(signal: AbortSignal, task: () => void, until: AbortSignal): void {
  if (signal.aborted) task();
  else signal.addEventListener("abort", task, { once: true, signal: until });
}

/** Takes what the program wrote before it ended, then lets go of its output. */
async function drain(output: readonly Promise<void>[], child: Child): Promise<void> {
  const drained = new AbortController();
  const done = Promise.all(output).then(() => drained.abort());
  await sleep(DRAIN_MS, drained.signal).catch(() => undefined);
  child.stdout.destroy();
  child.stderr.destroy();
  await done;
}
