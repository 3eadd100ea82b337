import type { Logger } from "@k3s/log";
import { Relay, type Forwarding } from "./relay.ts";
import type { Upstream } from "./upstream.ts";

/** Passes requests on to kube-apiserver and its answers back, streaming both ways. */
export class ApiserverProxy {
  readonly #upstream: Upstream;
  readonly #log: Logger;
  readonly #relays = new Set<Relay>();

  constructor(upstream: Upstream, log: Logger) {
    this.#upstream = upstream;
    this.#log = log;
  }

  forward(forwarding: Forwarding): void {
    const relay = new Relay(forwarding, { upstream: this.#upstream, log: this.#log });
    this.#relays.add(relay);
    forwarding.exchange.onClose(() => this.#relays.delete(relay));
    relay.start();
  }

  /** Ends watches, followed logs and switched protocols; what has an end of its own is left to come to it. */
  endStreams(): void {
    for (const relay of this.#relays) if (relay.isEndless) relay.end();
  }
}
