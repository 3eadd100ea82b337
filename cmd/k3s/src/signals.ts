/** The two stages of being asked to end. */
export interface StopRequests extends Disposable {
  /** Aborts at the first SIGINT or SIGTERM. */
  readonly shutdown: AbortSignal;
  /** Aborts at the next one that comes at least {@link SAME_REQUEST_MS} after it. */
  readonly impatient: AbortSignal;
}

const SIGNALS = ["SIGINT", "SIGTERM"] as const;
/**
 * Signals this close to the first are the same request: a terminal sends Ctrl-C to npm and to us, and npm passes its own
 * on; service managers of containers do the like.
 */
const SAME_REQUEST_MS = 1000;

/**
 * Listens from now on; a signal that arrives earlier ends the process, as nothing would have to be cleaned up. `nowMs` is
 * a clock that is never set back.
 */
export function listenForStop(nowMs: () => number = () => performance.now()): StopRequests {
  const shutdown = new AbortController();
  const impatient = new AbortController();
  let firstMs = 0;
  const onSignal = (name: NodeJS.Signals) => {
    const reason = new Error(`Received ${name}`);
    if (shutdown.signal.aborted) {
      if (nowMs() - firstMs >= SAME_REQUEST_MS) impatient.abort(reason);
      return;
    }
    firstMs = nowMs();
    shutdown.abort(reason);
  };
  for (const name of SIGNALS) process.on(name, onSignal);
  return {
    shutdown: shutdown.signal,
    impatient: impatient.signal,
    [Symbol.dispose]: () => {
      for (const name of SIGNALS) process.off(name, onSignal);
    },
  };
}

/**
 * From here on the loss of the terminal that we were started from, with an ssh session for instance, does not end us: not by
 * SIGHUP, whose deadly meaning Node restores even where nohup took it, nor by output that nobody takes. To be called by what
 * runs for as long as the machine does, and writes its log to stderr alone.
 */
export function outliveTerminal(): void {
  process.on("SIGHUP", () => undefined);
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => undefined);
}
