/** Lets everything else that is ready run first: timers, sockets, answers of workers. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
