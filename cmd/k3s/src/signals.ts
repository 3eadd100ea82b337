/** The two stages of being asked to end. */
export interface StopRequests extends Disposable {
  /** Aborts at the first SIGINT or SIGTERM. */
  readonly shutdown: AbortSignal;
  /** Aborts at the second one. */
  readonly impatient: AbortSignal;
}

const SIGNALS = ["SIGINT", "SIGTERM"] as const;

/** Listens from now on; a signal that arrives earlier ends the process, as nothing would have to be cleaned up. */
export function listenForStop(): StopRequests {
  const shutdown = new AbortController();
  const impatient = new AbortController();
  const onSignal = (name: NodeJS.Signals) => {
    const next = shutdown.signal.aborted ? impatient : shutdown;
    next.abort(new Error(`Received ${name}`));
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
