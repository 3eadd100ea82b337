import type { Component } from "./component.ts";

/** The names of components that are being stopped, each with the members it waits for. */
export function stoppingNames(components: Iterable<Component>): readonly string[] {
  return Array.from(components).flatMap((component) => {
    const members = component.stopping?.() ?? [];
    return members.length === 0 ? [component.name] : members.map((member) => `${component.name}/${member}`);
  });
}
