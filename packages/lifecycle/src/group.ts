import type { Component, StartContext } from "./component.ts";
import { ComponentManager } from "./component-manager.ts";

/** Components that start one after the other and stop in reverse, as one component. */
export function inSequence(name: string, members: readonly Component[]): Component {
  const manager = new ComponentManager(members);
  return {
    name,
    prepare: (signal) => prepareAll(members, signal),
    start: async (context) => {
      forwardLost(manager, context);
      await manager.startPrepared(context.signal);
    },
    stop: (hurry) => manager.stop(hurry),
  };
}

/** Components that start at the same time and stop at the same time, as one component. The first failure cancels the others' start. */
export function atOnce(name: string, members: readonly Component[]): Component {
  return {
    name,
    prepare: (signal) => prepareAll(members, signal),
    start: (context) => startAll(members, context),
    stop: async (hurry) => {
      const outcomes = await Promise.allSettled(members.map((member) => member.stop(hurry)));
      const failures = outcomes.flatMap((outcome) =>
        outcome.status === "rejected" ? [outcome.reason as unknown] : [],
      );
      if (failures.length > 0) throw new AggregateError(failures, `Cannot stop every component of "${name}"`);
    },
  };
}

async function prepareAll(members: readonly Component[], signal: AbortSignal): Promise<void> {
  await Promise.all(members.map(async (member) => member.prepare?.(signal)));
}

async function startAll(members: readonly Component[], { signal, lost }: StartContext): Promise<void> {
  const cancel = new AbortController();
  const context = { signal: AbortSignal.any([signal, cancel.signal]), lost };
  const starts = members.map(async (member) => {
    try {
      await member.start(context);
    } catch (error) {
      cancel.abort(error);
      throw error;
    }
  });
  await Promise.allSettled(starts); // nobody is left starting when stop() comes
  signal.throwIfAborted();
  cancel.signal.throwIfAborted();
}

function forwardLost(manager: ComponentManager, context: StartContext): void {
  const onLost = () => context.lost(manager.lost.reason as Error);
  manager.lost.addEventListener("abort", onLost, { once: true });
}
