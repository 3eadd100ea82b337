import { prepareAll } from "./all-together.ts";
import type { Component } from "./component.ts";
import { waitedNames } from "./waited-names.ts";

export interface ManagerOptions {
  /** Told when a component begins to start and when dependents may use it. */
  readonly onProgress?: (name: string, state: "starting" | "started" | "stopping") => void;
}

/** Starts components in order, stops them in reverse, and finishes stopping whatever fails. */
export class ComponentManager {
  readonly #components: readonly Component[];
  readonly #options: ManagerOptions;
  readonly #begun: Component[] = [];
  readonly #running = new Set<Component>();
  readonly #starting = new Set<Component>();
  readonly #stopping = new Set<Component>();
  readonly #lost = new AbortController();

  constructor(components: readonly Component[], options: ManagerOptions = {}) {
    this.#components = components;
    this.#options = options;
  }

  /** Aborts, with the error as reason, when a running component is gone for good. */
  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  /** Prepares all, so that every check fails before anything runs, then starts one after the other. */
  async start(signal: AbortSignal): Promise<void> {
    await prepareAll(this.#components, signal);
    await this.startPrepared(signal);
  }

  /** The second half of {@link start}, for a caller that has prepared the components itself. */
  async startPrepared(signal: AbortSignal): Promise<void> {
    for (const component of this.#components) {
      signal.throwIfAborted();
      this.#begun.unshift(component); // before start(): a half-started component is stopped too
      this.#options.onProgress?.(component.name, "starting");
      this.#starting.add(component);
      try {
        await component.start({ signal, lost: (error) => this.#lost.abort(error) });
      } finally {
        this.#starting.delete(component);
      }
      this.#running.add(component);
      this.#options.onProgress?.(component.name, "started");
    }
  }

  /** Rejects with the reason when a running component cannot do its work right now. */
  async checkHealth(signal: AbortSignal): Promise<void> {
    await Promise.all(Array.from(this.#running, async (component) => component.checkHealth?.(signal)));
  }

  /** What start() waits for, with the members of groups as `group/member`. */
  starting(): readonly string[] {
    return waitedNames(this.#starting, "starting");
  }

  /** The same of stop(). */
  stopping(): readonly string[] {
    return waitedNames(this.#stopping, "stopping");
  }

  /** Stops in reverse order; a failure does not keep the others from being stopped. */
  async stop(hurry: AbortSignal): Promise<void> {
    const failures: Error[] = [];
    for (const component of this.#begun.splice(0)) {
      this.#options.onProgress?.(component.name, "stopping");
      this.#running.delete(component);
      this.#stopping.add(component);
      try {
        await component.stop(hurry);
      } catch (error) {
        failures.push(new Error(`Cannot stop component "${component.name}"`, { cause: error }));
      } finally {
        this.#stopping.delete(component);
      }
    }
    if (failures.length > 0) throw new AggregateError(failures, "Cannot stop every component");
  }
}
