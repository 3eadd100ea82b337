import type { Component } from "./component.ts";

/**
 * A component nobody waits for: its start goes on while later ones start, for as long as that takes.
 * A start that fails is reported as lost, as if the component had been running. stop() cancels a start that still goes on.
 */
export function inBackground(component: Component): Component {
  const stopping = new AbortController();
  let starting: Promise<void> = Promise.resolve();
  let isRunning = false;
  return {
    name: component.name,
    prepare: async (signal) => component.prepare?.(signal),
    start: ({ lost }) => {
      starting = component.start({ signal: stopping.signal, lost }).then(
        () => {
          isRunning = !stopping.signal.aborted;
        },
        (error: unknown) => {
          if (!stopping.signal.aborted) lost(new Error(`Cannot start component "${component.name}"`, { cause: error }));
        },
      );
      return Promise.resolve();
    },
    stop: async (hurry) => {
      isRunning = false;
      stopping.abort(new Error(`Component "${component.name}" is being stopped`));
      await starting;
      await component.stop(hurry);
    },
    checkHealth: async (signal) => {
      if (isRunning) await component.checkHealth?.(signal);
    },
    stopping: () => component.stopping?.() ?? [],
  };
}
