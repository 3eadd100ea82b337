import { once } from "node:events";
import { connect, type TLSSocket } from "node:tls";
import type { TlsContent } from "./tls-content.ts";

/** A connection that failed; `target` is `host:port`. */
export interface Refusal {
  /** What the library said. */
  readonly details: string;
  readonly scheme: string;
  readonly target: string;
  readonly tls: TlsContent;
}

/** A server that speaks TLS does so at once. */
const PROBE_MS = 1000;
/** The library knows no more than that the connection ended. */
const ENDED = /^Failed to connect|ECONNRESET|EPIPE|socket hang up|disconnected|Connection dropped|[Pp]rotocol error/;

/** The cause of a failure in words, where OpenSSL's are none or there are no words at all. Never rejects. */
export async function explainRefusal({ details, scheme, target, tls }: Refusal): Promise<string> {
  if (scheme !== "http" && scheme !== "https") return details;
  if (/wrong version number|packet length too long/i.test(details)) return "the port does not speak TLS: use http://";
  const wanted =
    tls.cert === null ? "the server wants a client certificate" : "the server does not trust the client certificate";
  const alert = /alert ((?:bad |unsupported )?certificate(?: \w+)?|unknown ca|handshake failure)/i.exec(details)?.[1];
  if (alert !== undefined) return `${wanted} (TLS refused: ${alert})`;
  if (!ENDED.test(details) || !(await speaksTls(target, tls))) return details;
  return scheme === "http" ? "the port speaks TLS: use https://" : `${wanted} (it ended the connection after TLS)`;
}

async function speaksTls(target: string, { cert, key }: TlsContent): Promise<boolean> {
  const colon = target.lastIndexOf(":");
  const place = { host: target.slice(0, colon).replace(/^\[|\]$/g, ""), port: Number(target.slice(colon + 1)) };
  const own = cert === null || key === null ? {} : { cert, key };
  let socket: TLSSocket | undefined;
  try {
    socket = connect({ ...place, ...own, rejectUnauthorized: false, ALPNProtocols: ["h2"] }); // throws at PEM it cannot read
    await once(socket, "secureConnect", { signal: AbortSignal.timeout(PROBE_MS) });
    return true;
  } catch (error) {
    return error instanceof Error && /alert/.test(error.message); // TLS 1.2 refuses within the handshake
  } finally {
    socket?.on("error", () => undefined).destroy();
  }
}
