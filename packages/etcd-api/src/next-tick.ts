/** Lets everything else that is ready run first: timers, sockets, answers of workers. */
export function nextTick(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
