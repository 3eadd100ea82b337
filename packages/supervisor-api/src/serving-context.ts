import { constants } from "node:crypto";
import { createSecureContext, type SecureContext, type SecureContextOptions, type SecureVersion } from "node:tls";
import { deadline, type Latest } from "@k3s/async";
import type { Credentials } from "./credentials.ts";
import { servingName } from "./serving-names.ts";

/** The certificate of the one port. It grows with the names that clients use. */
export interface ServingCertificate {
  /** PEM, the certificate with its chain. */
  readonly current: Latest<{ readonly cert: string; readonly key: string }>;
  /** Asks for names to be added; resolves when `current` has them, or when they are refused. */
  offer(names: readonly string[]): Promise<void>;
}

export interface TlsPolicy {
  /** Default: TLSv1.2. */
  readonly minVersion?: SecureVersion;
  /** OpenSSL names for TLS 1.2; TLS 1.3 has its own. Default: upstream's list. */
  readonly ciphers?: readonly string[];
}

/** Upstream's default (k3s), in OpenSSL's names. */
const CIPHERS = [
  "ECDHE-ECDSA-AES256-GCM-SHA384",
  "ECDHE-RSA-AES256-GCM-SHA384",
  "ECDHE-ECDSA-AES128-GCM-SHA256",
  "ECDHE-RSA-AES128-GCM-SHA256",
  "ECDHE-ECDSA-CHACHA20-POLY1305",
  "ECDHE-RSA-CHACHA20-POLY1305",
];
const CIPHERS_TLS13 = ["TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256"];

/** A name is offered once in a while, not with every connection: whoever is refused would cost a signature each time. */
const OFFERED_MAX = 256;
/** A newcomer's name is waited for, so that its first handshake succeeds, but not for long. */
const OFFER_WAIT_MS = 2_000;

/** Turns the serving certificate, the client CA and the policy into what TLS works with; follows their changes. */
export class ServingContext {
  readonly #certificate: ServingCertificate;
  readonly #credentials: Latest<Credentials>;
  readonly #policy: TlsPolicy;
  readonly #offered = new Set<string>();
  #made: { readonly pair: object; readonly credentials: Credentials; readonly context: SecureContext } | undefined;

  constructor(certificate: ServingCertificate, credentials: Latest<Credentials>, policy: TlsPolicy) {
    this.#certificate = certificate;
    this.#credentials = credentials;
    this.#policy = policy;
  }

  options(): SecureContextOptions {
    const { cert, key } = this.#certificate.current.get();
    return {
      cert,
      key,
      // What client certificates are verified against; an intermediate CA may be the anchor, as in Go.
      ca: this.#credentials.get().clientCa,
      allowPartialTrustChain: true,
      minVersion: this.#policy.minVersion ?? "TLSv1.2",
      ciphers: [...CIPHERS_TLS13, ...(this.#policy.ciphers ?? CIPHERS)].join(":"),
      honorCipherOrder: true,
      // No resumption: each connection shows and proves its certificate itself, against the CA of now.
      secureOptions: constants.SSL_OP_NO_TICKET | constants.SSL_OP_NO_RENEGOTIATION,
    };
  }

  /** The context of now; the same object until something changes. */
  current(): SecureContext {
    const pair = this.#certificate.current.get();
    const credentials = this.#credentials.get();
    if (this.#made?.pair !== pair || this.#made.credentials !== credentials)
      this.#made = { pair, credentials, context: createSecureContext(this.options()) };
    return this.#made.context;
  }

  /** Whether the certificate has been asked for `name` before, so that there is nothing to wait for. */
  isOffered(name: string): boolean {
    return this.#offered.has(name);
  }

  /** Resolves when the certificate has the name, is refused it, or takes too long. Never rejects. */
  async offer(name: string): Promise<void> {
    if (this.#offered.has(name) || servingName(name) === undefined || this.#offered.size >= OFFERED_MAX) return;
    this.#offered.add(name);
    using limit = deadline(OFFER_WAIT_MS, "adding a name to the serving certificate");
    const late = Promise.withResolvers<void>();
    limit.addEventListener("abort", () => late.resolve(), { once: true });
    await Promise.race([this.#certificate.offer([name]).catch(() => undefined), late.promise]);
  }
}
