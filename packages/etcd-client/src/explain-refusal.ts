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

export interface Explanation {
  readonly details: string;
  /** Whether the next attempt would fail in the same way: somebody has to change a setting. */
  readonly isCertain: boolean;
}

/** A server that speaks TLS does so at once. */
const PROBE_MS = 1000;
/** The library knows no more than that the connection ended. */
const ENDED = /^Failed to connect|ECONNRESET|EPIPE|socket hang up|disconnected|Connection dropped|[Pp]rotocol error/;
/** Bytes came that are no HTTP/2. */
const OTHER_PROTOCOL = /[Pp]rotocol error/;
const UNKNOWN_CA = /self-signed certificate|unable to (?:get (?:local )?issuer|verify)/;
const BAD_CERTIFICATE = /certificate (?:has expired|is not yet valid)|altnames/;

/** The cause of a failure in words, where OpenSSL's are none or there are no words at all. Never rejects. */
export async function explainRefusal({ details, scheme, target, tls }: Refusal): Promise<Explanation> {
  if (UNKNOWN_CA.test(details)) return certain(`no CA that is trusted here signed its certificate (${details})`);
  if (BAD_CERTIFICATE.test(details)) return certain(details);
  if (scheme !== "http" && scheme !== "https") return { details, isCertain: false };
  if (/wrong version number|packet length too long/i.test(details))
    return certain("the port does not speak TLS: use http://");
  const wanted =
    tls.cert === null ? "the server wants a client certificate" : "the server does not trust the client certificate";
  const alert = /alert ((?:bad |unsupported )?certificate(?: \w+)?|unknown ca|handshake failure)/i.exec(details)?.[1];
  if (alert !== undefined) return certain(`${wanted} (TLS refused: ${alert})`);
  if (!ENDED.test(details)) return { details, isCertain: false };
  if (!(await speaksTls(target, tls))) return explainEnd(details);
  return certain(
    scheme === "http" ? "the port speaks TLS: use https://" : `${wanted} (it ended the connection after TLS)`,
  );
}

/** A proxy ends connections as well while its etcd is away. */
function explainEnd(details: string): Explanation {
  return OTHER_PROTOCOL.test(details)
    ? certain("no etcd is there: what answers does not speak HTTP/2")
    : { details: `no etcd seems to be there: connections are ended unanswered (${details})`, isCertain: false };
}

function certain(details: string): Explanation {
  return { details, isCertain: true };
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
