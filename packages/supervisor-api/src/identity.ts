import type { PeerCertificate, TLSSocket } from "node:tls";

/** Who makes a request, as Kubernetes sees it. `system:authenticated` is not listed: it follows from having a name. */
export interface Identity {
  readonly name: string;
  readonly groups: readonly string[];
}

/**
 * What the client certificate of a connection proved.
 * `none`: there was none, or one without a common name. `invalid`: its chain, dates or usage failed.
 */
export type PeerProof =
  | { readonly kind: "none" }
  | { readonly kind: "invalid" }
  | { readonly kind: "proven"; readonly identity: Identity; readonly expiresAtMs: number };

/** Reads the outcome of the handshake: chain, dates and clientAuth usage were checked there against the client CA. */
export function peerProof(socket: TLSSocket): PeerProof {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return { kind: "none" };
  if (!socket.authorized) return { kind: "invalid" };
  const subject = socket.getPeerCertificate().subject;
  const name = attributeValues(subject, "CN").at(-1) ?? "";
  const groups = attributeValues(subject, "O");
  if (name === "") return { kind: "none" };
  if (![name, ...groups].every(isCarriable)) return { kind: "invalid" };
  return { kind: "proven", identity: { name, groups }, expiresAtMs: Date.parse(certificate.validTo) };
}

/** The proof as of now: a certificate may expire while its connection lives. */
export function currentProof(proof: PeerProof, nowMs: number): PeerProof {
  return proof.kind === "proven" && nowMs > proof.expiresAtMs ? { kind: "invalid" } : proof;
}

// Sound cast: a repeated attribute is an array there, which the published type leaves out.
function attributeValues(subject: PeerCertificate["subject"] | undefined, name: "CN" | "O"): readonly string[] {
  const value = subject?.[name] as string | string[] | undefined;
  if (value === undefined) return [];
  return typeof value === "string" ? [value] : value;
}

/** Whether a name survives the trip in a header unchanged: receivers trim spaces, and control characters are illegal. */
function isCarriable(name: string): boolean {
  return name !== "" && name.trim() === name && !/[\u0000-\u001f\u007f]/.test(name);
}
