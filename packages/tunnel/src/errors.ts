import { NodeError } from "@k3s/errors";

/** The peer sent what the protocol does not allow. It ends the session it came on, and nothing else. */
export class ProtocolError extends Error {
  override readonly name = "ProtocolError";

  constructor(what: string) {
    super(`Cannot go on with tunnel session: peer sent ${what}`);
  }
}

/** A connection through the tunnel ended otherwise than by being closed; the message is that of the side where it happened. */
export class TunnelStreamError extends Error {
  override readonly name = "TunnelStreamError";
}

/** There is no session of the node; the text is the one that k3s answers with. */
export class NoSessionError extends Error {
  override readonly name = "NoSessionError";

  constructor(nodeName: string) {
    super(`failed to find Session for client ${nodeName}`);
  }
}

/** A tunnel cannot be opened; the client says so and tries again. */
export class TunnelError extends NodeError {
  override readonly name = "TunnelError";

  /** Whether a server answered, and said no. */
  get isRefusal(): boolean {
    return this.code === "ERR_TUNNEL_REFUSED";
  }

  static refused(url: string, status: number): TunnelError {
    const message = `Cannot open tunnel to "${url}": server answered ${status}`;
    return new TunnelError("ERR_TUNNEL_REFUSED", message, { hint: REFUSED_HINTS.get(status) ?? OTHER_HINT });
  }

  static unreachable(url: string, cause: unknown): TunnelError {
    return new TunnelError("ERR_TUNNEL_UNREACHABLE", `Cannot open tunnel to "${url}": connection failed`, {
      hint: "Look whether the server runs, and whether this machine may connect to its port",
      cause,
    });
  }
}

const OTHER_HINT = "Look into the log of the server";
const REFUSED_HINTS: ReadonlyMap<number, string> = new Map([
  [
    401,
    "The certificate of this node's kubelet is not one of the server's cluster; look at the token and the data directory",
  ],
  [
    403,
    "The certificate of this node's kubelet is not one of the server's cluster; look at the token and the data directory",
  ],
  [503, "The server is starting, or its API does not answer; this goes on by itself"],
]);
