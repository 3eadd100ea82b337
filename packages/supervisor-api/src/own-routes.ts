import type { Logger } from "@k3s/log";
import { authenticate, type Authenticators, type Caller } from "./authenticate.ts";
import type { Exchange } from "./exchange.ts";
import { joinSockets } from "./join-sockets.ts";
import { Lanes } from "./lanes.ts";
import { headerValue } from "./raw-headers.ts";
import { readBody, type BodyLimits } from "./read-body.ts";
import type { SwitchRequest } from "./relay.ts";
import {
  ANYBODY_KNOWN,
  RouteRefusal,
  type ConnectRoute,
  type Lane,
  type Route,
  type RouteRequest,
  type UpgradeRoute,
} from "./route.ts";
import { failures, type Failure } from "./status.ts";

/** What the supervisor answers itself, by the exact path. */
export interface Routes {
  readonly paths: ReadonlyMap<string, Route>;
  readonly upgrades: ReadonlyMap<string, UpgradeRoute>;
  /** Undefined: nobody is connected to anything. */
  readonly connect: ConnectRoute | undefined;
}

export interface OwnRoutesOptions {
  readonly routes: Routes;
  readonly authenticators: () => Authenticators;
  /** How long a body may take to arrive. */
  readonly bodyMs: number;
  /** How long one of several requests that are carried out in turn may wait for its own. */
  readonly turnMs: number;
  readonly log: Logger;
}

/** Where a client wants to be connected, and the socket it asks on. */
export interface ConnectRequest {
  /** `host:port`, as the request line says. */
  readonly target: string;
  readonly switchTo: SwitchRequest;
}

/** The largest body the supervisor takes: certificate bundles are far smaller. */
const BODY_BYTES_MAX = 1024 * 1024;
/** The largest one of agents, whose certificate requests have a few hundred bytes. */
const LANE_BODY_BYTES_MAX = 64 * 1024;

/** The supervisor's own routes behind their door: who may ask, how many at a time. Each method answers, or says why not. */
export class OwnRoutes {
  readonly #options: OwnRoutesOptions;
  readonly #lanes: Lanes;

  constructor(options: OwnRoutesOptions) {
    this.#options = options;
    this.#lanes = new Lanes(options.turnMs);
  }

  hasUpgrade(path: string): boolean {
    return this.#options.routes.upgrades.has(path);
  }

  has(path: string): boolean {
    return this.#options.routes.paths.has(path) || this.hasUpgrade(path);
  }

  /** A plain request for a path that {@link has} knows. */
  async answer(exchange: Exchange, path: string): Promise<Failure | undefined> {
    const { paths, upgrades } = this.#options.routes;
    const route = paths.get(path);
    const { caller, failure } = await this.#member(exchange, (route ?? upgrades.get(path))?.groups ?? []);
    if (caller === undefined) return failure;
    if (route === undefined) return failures.upgradeNeeded;
    const { lane } = route;
    return this.#carry(exchange, () =>
      lane === undefined
        ? answerWith(exchange, { caller, route, body: () => readBody(exchange, this.#bodyLimits(BODY_BYTES_MAX)) })
        : this.#answerInLane(exchange, { caller, route, lane }),
    );
  }

  /** The body comes first: who sends none takes no place. */
  async #answerInLane(
    exchange: Exchange,
    { caller, route, lane }: { readonly caller: Caller; readonly route: Route; readonly lane: Lane },
  ): Promise<void> {
    const body = await readBody(exchange, this.#bodyLimits(LANE_BODY_BYTES_MAX));
    const { method, connection } = exchange;
    const leave = await this.#lanes.enter({ lane, method, remoteAddress: connection.remoteAddress });
    if (leave === undefined) throw new RouteRefusal(failures.laneFull);
    try {
      await answerWith(exchange, { caller, route, body: () => Promise.resolve(body) });
    } finally {
      leave();
    }
  }

  /** A request to switch protocols on a path that {@link hasUpgrade} knows. */
  async upgrade(exchange: Exchange, path: string, switchTo: SwitchRequest): Promise<Failure | undefined> {
    const route = this.#options.routes.upgrades.get(path);
    const { caller, failure } = await this.#member(exchange, route?.groups ?? []);
    if (caller === undefined) return failure;
    return this.#carry(exchange, () =>
      route?.upgrade({
        caller,
        remoteAddress: exchange.connection.remoteAddress,
        request: switchTo.request,
        accept: () => ({ socket: switchTo.accept(), early: switchTo.early }),
      }),
    );
  }

  /** `undefined` for a request that cannot be connected, such as one over HTTP/2. */
  async connect(exchange: Exchange, request: ConnectRequest | undefined): Promise<Failure | undefined> {
    const route = this.#options.routes.connect;
    const { caller, failure } = await this.#member(exchange, route?.groups ?? ["system:masters"]);
    if (caller === undefined) return failure;
    if (route === undefined || request === undefined) return failures.methodNotAllowed;
    return this.#carry(exchange, async () => {
      const gone = goneSignal(exchange);
      const backend = await route.dial(request.target, gone);
      if (gone.aborted) return void backend.destroy();
      const socket = request.switchTo.accept();
      socket.write("HTTP/1.1 200 OK\r\n\r\n"); // kube-apiserver takes no byte more before it has sent something
      joinSockets({ socket, early: request.switchTo.early }, { socket: backend, early: Buffer.alloc(0) });
    });
  }

  #bodyLimits(bytesMax: number): BodyLimits {
    return { bytesMax, timeMs: this.#options.bodyMs };
  }

  async #carry(exchange: Exchange, work: () => void | Promise<void>): Promise<Failure | undefined> {
    try {
      await work();
      return undefined;
    } catch (error) {
      if (error instanceof RouteRefusal) return error.failure;
      this.#options.log.error({ error, method: exchange.method }, "request failed");
      return failures.internal;
    }
  }

  /** Who asks, if that is a member of one of the groups. */
  async #member(exchange: Exchange, groups: readonly string[]): Promise<Membership> {
    const outcome = await authenticate(exchange, this.#options.authenticators());
    if (outcome.kind === "refused") return { failure: failures.notAuthorized };
    if (outcome.kind === "busy") return { failure: failures.tooManyRequests };
    if (outcome.kind === "unavailable") {
      this.#options.log.debug({ error: outcome.error }, "nobody can tell whose a token is");
      return { failure: failures.apiserverNotReady };
    }
    const isForAnybody = groups.includes(ANYBODY_KNOWN);
    if (outcome.kind !== "known") return { failure: isForAnybody ? failures.unauthorized : failures.forbidden };
    const isMember = isForAnybody || outcome.caller.groups.some((group) => groups.includes(group));
    return isMember ? { caller: outcome.caller } : { failure: failures.forbidden };
  }
}

type Membership =
  { readonly caller: Caller; readonly failure?: never } | { readonly caller?: never; readonly failure: Failure };

async function answerWith(
  exchange: Exchange,
  { caller, route, body: readWhole }: { readonly caller: Caller; readonly route: Route } & Pick<RouteRequest, "body">,
): Promise<void> {
  const { status, contentType, headers, body } = await route.answer({
    method: exchange.method,
    caller,
    remoteAddress: exchange.connection.remoteAddress,
    query: new URLSearchParams(exchange.target.split("?")[1]),
    header: (name) => headerValue(exchange.headers, name),
    body: readWhole,
    signal: goneSignal(exchange),
  });
  const length = String(Buffer.byteLength(body));
  const head = ["Content-Type", contentType ?? "text/plain", "Content-Length", length, ...(headers ?? [])];
  exchange.respond({ status: status ?? 200, headers: head }).end(body);
}

function goneSignal(exchange: Exchange): AbortSignal {
  const gone = new AbortController();
  exchange.onClose(() => gone.abort(new Error("the client is gone")));
  return gone.signal;
}
