import type { Component } from "./component.ts";

/**
 * Runs a step for every component at the same time. The first failure aborts the signal of the others; it is thrown once
 * all have ended, so that nobody is still at work when the caller stops them.
 */
export async function allTogether(
  components: readonly Component[],
  step: (component: Component, signal: AbortSignal) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  const cancel = new AbortController();
  const together = AbortSignal.any([signal, cancel.signal]);
  const steps = components.map(async (component) => {
    try {
      await step(component, together);
    } catch (error) {
      cancel.abort(error);
    }
  });
  await Promise.all(steps);
  signal.throwIfAborted();
  cancel.signal.throwIfAborted();
}

/** Prepares all; see {@link allTogether}. */
export async function prepareAll(components: readonly Component[], signal: AbortSignal): Promise<void> {
  await allTogether(components, async (component, cancelled) => component.prepare?.(cancelled), signal);
}
