import { constants } from "node:crypto";
import { createSecureContext, type SecureContext, type SecureContextOptions, type SecureVersion } from "node:tls";
import { aborted, deadline, type Latest } from "@k3s/async";
import type { Credentials } from "./credentials.ts";

/** The certificate of the one port. It grows with the names that clients use. */
export interface ServingCertificate {
  /** PEM, the certificate with its chain. */
  readonly current: { get(): { readonly certPem: string; readonly keyPem: string } };
  /** Asks for names to be added; resolves when `current` has them, or when they are refused. */
  offerNames(names: readonly string[]): Promise<void>;
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

/** A newcomer's name is waited for, so that its first handshake succeeds, but not for long. */
const OFFER_WAIT_MS = 2_000;

/** Turns the serving certificate, the client CA and the policy into what TLS works with; follows their changes. */
export class ServingContext {
  readonly #certificate: ServingCertificate;
  readonly #credentials: Latest<Credentials>;
  readonly #policy: TlsPolicy;
  #made: { readonly pair: object; readonly credentials: Credentials; readonly context: SecureContext } | undefined;

  constructor(certificate: ServingCertificate, credentials: Latest<Credentials>, policy: TlsPolicy) {
    this.#certificate = certificate;
    this.#credentials = credentials;
    this.#policy = policy;
  }

  options(): SecureContextOptions {
    const { certPem: cert, keyPem: key } = this.#certificate.current.get();
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

  /** Resolves when the certificate has the name, refuses it, or takes too long. Never rejects. */
  async offer(name: string): Promise<void> {
    using limit = deadline(OFFER_WAIT_MS, "adding a name to the serving certificate");
    // A certificate that cannot be signed now still serves the names it has.
    const offered = this.#certificate.offerNames([name]).catch(() => undefined);
    await Promise.race([offered, aborted(limit)]);
  }
}
