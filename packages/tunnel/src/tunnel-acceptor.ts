import type { Duplex } from "node:stream";
import { abortReason, deadline } from "@k3s/async";
import type { DialTarget } from "./frame.ts";
import { joinStreams } from "./join-streams.ts";
import type { TunnelStream } from "./tunnel-stream.ts";

/** What the other side of a tunnel may have dialled, and how that is done. */
export interface DialRules {
  /** Whether the server may reach `target` from here. False ends the session. */
  readonly authorize: (target: DialTarget) => boolean;
  /** Connects to `target`; its rejection becomes the error of the connection at the server. */
  readonly dial: (target: DialTarget, signal: AbortSignal) => Promise<Duplex>;
}

const DIAL_LIMIT_MS = 60_000;

/** The side of a tunnel that is asked to dial. */
export class TunnelAcceptor {
  readonly #rules: DialRules;

  constructor(rules: DialRules) {
    this.#rules = rules;
  }

  authorize(target: DialTarget): boolean {
    return this.#rules.authorize(target);
  }

  /** Dials for `stream` and joins the two; what the server has sent meanwhile waits in the stream. */
  async serve(stream: TunnelStream, signal: AbortSignal): Promise<void> {
    const gone = new AbortController();
    stream.once("close", () => gone.abort(new Error("Connection was closed while dialling")));
    using limit = deadline(DIAL_LIMIT_MS, `Dialling ${stream.target.address}`, AbortSignal.any([signal, gone.signal]));
    const dialling = this.#rules.dial(stream.target, limit);
    const socket = await Promise.race([dialling, rejected(limit)]).catch((error: unknown) => {
      dialling.then(
        (late) => late.destroy(),
        () => undefined,
      );
      throw error;
    });
    if (stream.destroyed) socket.destroy();
    else joinStreams(stream, socket);
  }
}

function rejected(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener("abort", () => reject(abortReason(signal)), { once: true });
  });
}
