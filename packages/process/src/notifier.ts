import { repeat, retry } from "@k3s/async";
import type { Logger } from "@k3s/log";
import { notify } from "@k3s/native";

/** Tells the service manager how we are, by the protocol of sd_notify(3). Nothing here ever fails for the caller. */
export interface Notifier {
  ready(): Promise<void>;
  stopping(): Promise<void>;
  /** One line for people, shown by `systemctl status`. */
  status(text: string): Promise<void>;
  /** Pings the watchdog at half its interval, as long as `checkHealth` does not reject, until `signal` aborts. */
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
    status: (text) => send(`STATUS=${text.replace(/\s+/g, " ")}\n`),
    keepAlive: async (checkHealth, signal) => {
      const intervalMs = Number(watchdogUsec ?? "") / 2000;
      if (!(intervalMs > 0)) return;
      await repeat(intervalMs, () => ping({ send, checkHealth, log }, signal), signal);
    },
  };
}

function attempt(notifySocket: string, message: string): Promise<void> {
  return new Promise((resolve) => {
    notify(notifySocket, message); // what it throws rejects
    resolve();
  });
}

interface PingContext {
  readonly send: (message: string) => Promise<void>;
  readonly checkHealth: (signal: AbortSignal) => Promise<void>;
  readonly log: Logger;
}

async function ping({ send, checkHealth, log }: PingContext, signal: AbortSignal): Promise<void> {
  try {
    await checkHealth(signal);
  } catch (error) {
    if (!signal.aborted) log.warn({ error }, "watchdog is not pinged: the node is not healthy");
    return;
  }
  await send("WATCHDOG=1\n");
}

function isReceiverBusy(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "EAGAIN" || error.code === "ENOBUFS");
}
