import { allTogether, prepareAll } from "./all-together.ts";
import type { Component, StartContext } from "./component.ts";
import { ComponentManager } from "./component-manager.ts";
import { waitedNames } from "./waited-names.ts";

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
    checkHealth: (signal) => manager.checkHealth(signal),
    starting: () => manager.starting(),
    stopping: () => manager.stopping(),
  };
}

/** Components that start at the same time and stop at the same time, as one component. The first failure cancels the others' start. */
export function atOnce(name: string, members: readonly Component[]): Component {
  const starting = new Set<Component>();
  const stopping = new Set<Component>();
  return {
    name,
    prepare: (signal) => prepareAll(members, signal),
    start: async ({ signal, lost }) => {
      const start = async (member: Component, cancelled: AbortSignal) => {
        starting.add(member);
        try {
          await member.start({ signal: cancelled, lost });
        } finally {
          starting.delete(member);
        }
      };
      await allTogether(members, start, signal);
    },
    stop: async (hurry) => {
      const stops = members.map(async (member) => {
        stopping.add(member);
        await member.stop(hurry).finally(() => stopping.delete(member));
      });
      const outcomes = await Promise.allSettled(stops);
      const failures = outcomes.flatMap((outcome) =>
        outcome.status === "rejected" ? [outcome.reason as unknown] : [],
      );
      if (failures.length > 0) throw new AggregateError(failures, `Cannot stop every component of "${name}"`);
    },
    checkHealth: async (signal) => {
      await Promise.all(members.map(async (member) => member.checkHealth?.(signal)));
    },
    starting: () => waitedNames(starting, "starting"),
    stopping: () => waitedNames(stopping, "stopping"),
  };
}

function forwardLost(manager: ComponentManager, context: StartContext): void {
  const onLost = () => context.lost(manager.lost.reason as Error);
  manager.lost.addEventListener("abort", onLost, { once: true });
}
