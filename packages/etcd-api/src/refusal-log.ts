import type { Logger } from "@k3s/log";
import { TLS_TO_PLAIN, type RefusedClient } from "./listen.ts";

/** A client that is refused tries again several times a second. */
const REPEAT_MS = 60_000;
const CERTIFICATE_CURE = "give it a certificate that was signed by the CA which this server trusts for clients";

/** By the begin of the code, the first that fits: of OpenSSL for what was received, and of its look at a certificate. */
const CAUSES: readonly (readonly [code: RegExp, reason: string, cure: string])[] = [
  [/^ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE/, "it has no certificate", CERTIFICATE_CURE],
  [
    new RegExp(`^${TLS_TO_PLAIN}$`),
    "it speaks TLS, and this address does not",
    "use http:// for it (unix:// on a socket), or serve TLS (--server-cert-file, --server-key-file)",
  ],
  [
    /^(CERT_HAS_EXPIRED|CERT_NOT_YET_VALID)/,
    "its certificate is not valid at this time",
    "renew it, or set the clocks",
  ],
  // A length beyond all bounds is no length: of some bytes OpenSSL tells that instead of the version.
  [
    /^ERR_SSL_(HTTP_REQUEST|HTTPS_PROXY_REQUEST|WRONG_VERSION_NUMBER|\w*LENGTH_TOO_(LONG|SHORT))/,
    "it does not speak TLS",
    "use https:// for it",
  ],
  [
    /^ERR_SSL_.*ALERT/,
    "it does not accept this server's certificate",
    "give it the CA that signed this server's certificate, and an address that is named in it",
  ],
  [/^(ERR_|E[A-Z]+$|undefined$)/, "its TLS is not what this server speaks", "use TLS 1.2 or newer for it"],
];
/** Somebody looked whether the port is open, or went away: nobody was refused. */
const GONE = /^(ECONNRESET|EPIPE|ETIMEDOUT|ERR_TLS_HANDSHAKE_TIMEOUT)$/;

/** Tells the log of clients whose TLS handshake failed: of each reason at once, and again after a minute. */
export class RefusalLog {
  readonly #log: Logger;
  readonly #now: () => number;
  readonly #toldAt = new Map<string, number>();

  /** `now`: in ms. Default: the monotonic clock. */
  constructor(log: Logger, now = () => performance.now()) {
    this.#log = log;
    this.#now = now;
  }

  add({ address, code }: RefusedClient): void {
    if (GONE.test(code)) return;
    const found = CAUSES.find(([pattern]) => pattern.test(code));
    const [, reason, cure] = found ?? ["", "its certificate is not of the CA for clients", CERTIFICATE_CURE];
    const now = this.#now();
    const isDue = now - (this.#toldAt.get(reason) ?? -Infinity) >= REPEAT_MS;
    if (isDue) this.#toldAt.set(reason, now);
    this.#log.log(
      isDue ? "warn" : "debug",
      { client: address, reason, code, cure },
      "refused a client of the etcd API",
    );
  }
}
