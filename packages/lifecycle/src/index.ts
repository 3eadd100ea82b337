export { assembled } from "./assembled.ts";
export type { Component, StartContext } from "./component.ts";
export { ComponentManager } from "./component-manager.ts";
export { atOnce, inSequence } from "./group.ts";
export { inBackground } from "./in-background.ts";
