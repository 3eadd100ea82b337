import { ComponentManager } from "./component-manager.ts";
import type { Component } from "./component.ts";

/**
 * Components that can only be named once earlier ones run, as one component: `build` is asked at start, then its members
 * are prepared and started in sequence. They stop in reverse; before start there is nothing to stop. While it is built, `building`
 * stands for its members where a start is waited for.
 */
export function assembled(
  name: string,
  build: (signal: AbortSignal) => Promise<readonly Component[]>,
  building?: string,
): Component {
  let manager: ComponentManager | undefined;
  return {
    name,
    start: async ({ signal, lost }) => {
      const members = new ComponentManager(await build(signal));
      manager = members;
      members.lost.addEventListener("abort", () => lost(members.lost.reason as Error), { once: true });
      await members.start(signal);
    },
    stop: async (hurry) => manager?.stop(hurry),
    checkHealth: async (signal) => manager?.checkHealth(signal),
    starting: () => manager?.starting() ?? (building === undefined ? [] : [building]),
    stopping: () => manager?.stopping() ?? [],
  };
}
