import { Latest, sleep } from "@k3s/async";
import type { Logger } from "@k3s/log";
import { TunnelError } from "./errors.ts";
import { openWebSocket, type TunnelEndpoint } from "./open-web-socket.ts";
import { CLIENT_TIMES } from "./session-defaults.ts";
import { TunnelAcceptor, type DialRules } from "./tunnel-acceptor.ts";
import { TunnelSession, type SessionTimes } from "./tunnel-session.ts";

/**
 *   connecting ──► connected ◄──► silent        (silent: the server has not answered the last pings)
 *       ▲   │          │            │
 *       │   ▼          ▼            ▼
 *      waiting ◄───────┴────────────┘   stop(): stopped, from everywhere
 */
type TunnelState = "connecting" | "connected" | "silent" | "waiting" | "stopped";

/** How a tunnel fares at the moment. */
export interface TunnelStatus {
  readonly state: TunnelState;
  /** Why it is not connected. */
  readonly error?: unknown;
}

/** Which server a tunnel leads to, and what is allowed in it. */
export interface TunnelClientOptions {
  /** Asked before each attempt, since certificates are renewed. */
  readonly endpoint: () => TunnelEndpoint | Promise<TunnelEndpoint>;
  /** What the server may reach through this tunnel. */
  readonly rules: DialRules;
  readonly times?: Partial<SessionTimes>;
  readonly backoff?: Backoff;
  readonly log: Logger;
}

/** Waits between attempts: doubled each time, half of each by chance, so that many agents do not come back at once. */
export interface Backoff {
  readonly minMs: number;
  readonly maxMs: number;
  /** In place of both while a server answers that it takes no tunnels: asking costs it a TLS handshake each time. */
  readonly refusedMinMs: number;
  readonly refusedMaxMs: number;
  /** A session that lasted this long makes the next wait the shortest again. */
  readonly healthyAfterMs: number;
}

const BACKOFF: Backoff = {
  minMs: 250,
  maxMs: 3_000,
  refusedMinMs: 1_000,
  refusedMaxMs: 10_000,
  healthyAfterMs: 10_000,
};

/** Keeps one tunnel to one server open, for as long as it takes. */
export class TunnelClient {
  readonly #options: TunnelClientOptions;
  readonly #times: SessionTimes;
  readonly #backoff: Backoff;
  readonly #status = new Latest<TunnelStatus>({ state: "connecting" });
  readonly #stopping = new AbortController();
  readonly #running: Promise<void>;

  /** Connects at once. */
  constructor(options: TunnelClientOptions) {
    this.#options = options;
    this.#times = { ...CLIENT_TIMES, ...options.times };
    this.#backoff = options.backoff ?? BACKOFF;
    this.#running = this.#run();
  }

  /** How it is now, and a way to wait for a state. */
  get status(): Latest<TunnelStatus> {
    return this.#status;
  }

  /** Closes the session with all its connections. Resolves when nothing is left of it; may be called twice. */
  async stop(): Promise<void> {
    this.#stopping.abort(new Error("Tunnel is being stopped"));
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    let delayMs = this.#backoff.minMs;
    while (!signal.aborted) {
      const startedAt = performance.now();
      const error = await this.#session().catch((failure: unknown) => failure);
      if (signal.aborted) break;
      if (performance.now() - startedAt >= this.#backoff.healthyAfterMs) delayMs = this.#backoff.minMs;
      this.#report(error);
      const { minMs, maxMs } = this.#bounds(error);
      delayMs = Math.min(Math.max(delayMs, minMs), maxMs);
      await sleep(delayMs * (0.5 + Math.random() / 2), signal).catch(() => undefined);
      delayMs *= 2;
    }
    this.#status.set({ state: "stopped" });
  }

  #bounds(error: unknown): Pick<Backoff, "minMs" | "maxMs"> {
    const { refusedMinMs, refusedMaxMs } = this.#backoff;
    const isRefused = error instanceof TunnelError && error.isRefusal;
    return isRefused ? { minMs: refusedMinMs, maxMs: refusedMaxMs } : this.#backoff;
  }

  /** From one attempt to connect to the end of the session, with its reason. */
  async #session(): Promise<Error | undefined> {
    const { signal } = this.#stopping;
    const { endpoint, rules, log } = this.#options;
    this.#status.set({ ...this.#status.get(), state: "connecting" });
    const { channel, flowControl } = await openWebSocket(await endpoint(), signal);
    const session = new TunnelSession({
      channel,
      flowControl,
      times: this.#times,
      key: "client/0",
      acceptor: new TunnelAcceptor(rules),
      onSilence: (isSilent) => this.#status.set({ state: isSilent ? "silent" : "connected" }),
      log,
    });
    this.#status.set({ state: "connected" });
    log.info({ flowControl }, "tunnel is open");
    const onStop = () => session.close();
    signal.addEventListener("abort", onStop, { once: true });
    if (signal.aborted) onStop();
    const error = await session.ended;
    signal.removeEventListener("abort", onStop);
    return error;
  }

  /** Says each new reason once; a server that stays away is no news. */
  #report(error: unknown): void {
    const previous = this.#status.get();
    const isNews = previous.state !== "connecting" || String(previous.error) !== String(error);
    this.#status.set({ state: "waiting", error: error ?? new Error("Tunnel was closed by the server") });
    const { log } = this.#options;
    if (isNews) log.warn({ error: this.#status.get().error }, "tunnel is down, connecting again");
  }
}
