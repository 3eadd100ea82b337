import { repeat, retry } from "@k3s/async";
import { describeError } from "@k3s/errors";
import type { Logger } from "@k3s/log";
import { notify } from "@k3s/native";

/** Tells the service manager how we are, by the protocol of sd_notify(3). Nothing here ever fails for the caller. */
export interface Notifier {
  ready(): Promise<void>;
  stopping(): Promise<void>;
  /** One line for people, shown by `systemctl status`. */
  status(text: string): Promise<void>;
  /**
   * Until `signal` aborts: pings the watchdog at a third of its interval, which shows that the event loop lives, and makes what
   * `checkHealth` says the status. A node that is not healthy is not ended for that: it mends its programs itself, and a new
   * start does not bring a database back.
   */
  keepAlive(checkHealth: (signal: AbortSignal) => Promise<void>, signal: AbortSignal): Promise<void>;
}

export interface NotifierOptions {
  readonly log: Logger;
  /** Value of WATCHDOG_USEC, in microseconds. Absent: there is no watchdog. */
  readonly watchdogUsec?: string | undefined;
}

/** The service manager reads in order and quickly; it is behind for moments only. */
const SEND = { delayMinMs: 10, delayMaxMs: 100, isRetryable: isReceiverBusy } as const;
const SEND_LIMIT_MS = 5000;
const MICROSECONDS_PER_MS = 1000;
/** Two may come late. */
const PINGS_PER_INTERVAL = 3;
/** A datagram takes 4096 bytes. */
const STATUS_CHARS_MAX = 500;

/** `notifySocket` is the value of NOTIFY_SOCKET; without it, outside of a service manager, everything does nothing. */
export function createNotifier(notifySocket: string | undefined, { log, watchdogUsec }: NotifierOptions): Notifier {
  const send = async (message: string): Promise<void> => {
    if (notifySocket === undefined || notifySocket === "") return;
    try {
      await retry(() => attempt(notifySocket, message), SEND, AbortSignal.timeout(SEND_LIMIT_MS));
    } catch (error) {
      log.warn({ error, notifySocket }, "cannot notify the service manager");
    }
  };
  return {
    ready: () => send("READY=1\n"),
    stopping: () => send("STOPPING=1\n"),
    status: (text) => send(statusMessage(text)),
    keepAlive: async (checkHealth, signal) => {
      const intervalMs = Number(watchdogUsec ?? "") / MICROSECONDS_PER_MS / PINGS_PER_INTERVAL;
      if (!(intervalMs > 0)) return;
      const health = new HealthStatus(checkHealth, { send, log });
      const ping = async () => {
        await send("WATCHDOG=1\n");
        void health.ask(signal); // never rejects; a check that hangs may not hold a ping back
      };
      await repeat(intervalMs, ping, signal);
    },
  };
}

function attempt(notifySocket: string, message: string): Promise<void> {
  return new Promise((resolve) => {
    notify(notifySocket, message); // what it throws rejects
    resolve();
  });
}

interface StatusContext {
  readonly send: (message: string) => Promise<void>;
  readonly log: Logger;
}

/** Shows a change of the health as the status of the service, and in the log. */
class HealthStatus {
  readonly #check: (signal: AbortSignal) => Promise<void>;
  readonly #context: StatusContext;
  #isAsking = false;
  #shown = "";

  constructor(check: (signal: AbortSignal) => Promise<void>, context: StatusContext) {
    this.#check = check;
    this.#context = context;
  }

  /** One check at a time. */
  async ask(signal: AbortSignal): Promise<void> {
    if (this.#isAsking) return;
    this.#isAsking = true;
    const problem = await this.#check(signal).then(
      () => "",
      (error: unknown) => describeError(error),
    );
    this.#isAsking = false;
    if (signal.aborted || problem === this.#shown) return;
    this.#shown = problem;
    if (problem !== "") this.#context.log.warn({ error: problem }, "the node is not healthy");
    await this.#context.send(statusMessage(problem === "" ? "Running" : `Running, but not healthy: ${problem}`));
  }
}

function statusMessage(text: string): string {
  return `STATUS=${text.replace(/\s+/g, " ").slice(0, STATUS_CHARS_MAX)}\n`;
}

function isReceiverBusy(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "EAGAIN" || error.code === "ENOBUFS");
}
