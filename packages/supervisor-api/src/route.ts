import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import type { Caller } from "./authenticate.ts";
import type { RawHeaders } from "./raw-headers.ts";
import type { Failure } from "./status.ts";

/** A request for one of the supervisor's own paths, from somebody who may make it. */
export interface RouteRequest {
  readonly method: string;
  readonly caller: Caller;
  /** Where the client connects from. */
  readonly remoteAddress: string;
  /** What stands behind the question mark. */
  readonly query: URLSearchParams;
  /** The first value of a header; `name` is lower-case. */
  header(name: string): string | undefined;
  /** The whole body. Rejects with RouteRefusal when it is too long or too slow. */
  body(): Promise<Buffer>;
  /** Aborts when the client is gone. */
  readonly signal: AbortSignal;
}

/** A whole answer of a route. */
export interface RouteAnswer {
  /** Default 200. */
  readonly status?: number;
  /** Default `text/plain`. */
  readonly contentType?: string;
  readonly headers?: RawHeaders;
  readonly body: string | Buffer;
}

/** Who a route counts its requests with: k3s holds agents to 20 reading and 10 writing requests at a time. */
export type Lane = "agents";

/** In {@link Route.groups}: everybody who is known. Those who are not get 401, as from Kubernetes' own servers. */
export const ANYBODY_KNOWN = "system:authenticated";

/** One path of the supervisor: who may ask, and what is answered. */
export interface Route {
  /** One of these groups is needed. */
  readonly groups: readonly string[];
  readonly lane?: Lane;
  /** Rejects with RouteRefusal for what the client is to be told. */
  answer(request: RouteRequest): Promise<RouteAnswer>;
}

/** A socket that has been taken out of HTTP's hands, with what was read from it already. */
interface SwitchedSocket {
  readonly socket: Duplex;
  readonly early: Buffer;
}

/** What a client asks to be switched to. */
interface UpgradeRequest {
  readonly caller: Caller;
  readonly remoteAddress: string;
  /** As node:http gives it with its `upgrade` event. */
  readonly request: IncomingMessage;
  /** Takes the socket; nothing has been answered yet. */
  readonly accept: () => SwitchedSocket;
}

/** One path that switches protocols. */
export interface UpgradeRoute {
  readonly groups: readonly string[];
  /** Throws RouteRefusal instead of accepting. */
  upgrade(request: UpgradeRequest): void;
}

/** Connections that kube-apiserver asks for (`CONNECT host:port`). */
export interface ConnectRoute {
  readonly groups: readonly string[];
  /** Connects, or rejects with RouteRefusal. `signal` aborts when the client is gone. */
  dial(target: string, signal: AbortSignal): Promise<Duplex>;
}

/** What a route answers instead of what was asked for. */
export class RouteRefusal extends Error {
  override readonly name = "RouteRefusal";
  readonly failure: Failure;

  constructor(failure: Failure, options?: ErrorOptions) {
    super(failure.message, options);
    this.failure = failure;
  }
}
