import type { Component } from "./component.ts";

/** The names of components that are being started or stopped, each with the members it waits for. */
export function waitedNames(components: Iterable<Component>, ability: "starting" | "stopping"): readonly string[] {
  return Array.from(components).flatMap((component) => {
    const members = component[ability]?.() ?? [];
    return members.length === 0 ? [component.name] : members.map((member) => `${component.name}/${member}`);
  });
}
