import { createHash } from "node:crypto";
import { parseCertificates, type Certificate } from "@k3s/pki";
import { TokenError } from "./errors.ts";
import type { Token } from "./token.ts";

/**
 * The CA hash of a bundle as served by /cacerts, in lower-case hex. Over the raw bytes for one certificate; over the DER
 * of the root for a chain, so that the issuing CA can be replaced below the same root. Throws TokenError.
 */
export function caHash(bundle: Buffer, now = new Date()): string {
  const [first, ...others] = readBundle(bundle);
  const root = others.length === 0 ? undefined : rootOf(first, others, now);
  return createHash("sha256")
    .update(root === undefined ? bundle : root.der)
    .digest("hex");
}

/** Compares a token with the bundle of the server it is used for. A token without hash trusts whoever answers. */
export function verifyCaHash(token: Token, bundle: Buffer): "verified" | "unverified" {
  const server = caHash(bundle);
  if (token.caHash === "") return "unverified";
  if (token.caHash !== server) throw TokenError.caMismatch({ token: token.caHash, server });
  return "verified";
}

function readBundle(bundle: Buffer): readonly [Certificate, ...Certificate[]] {
  let certificates: readonly Certificate[];
  try {
    certificates = parseCertificates(bundle.toString("latin1"));
  } catch (error) {
    throw TokenError.noCertificates(error);
  }
  const [first, ...others] = certificates;
  if (first === undefined) throw TokenError.noCertificates();
  return [first, ...others];
}

/** The end of the first chain from `leaf` to a root among `others`; undefined when there is none. */
function rootOf(leaf: Certificate, others: readonly Certificate[], now: Date): Certificate | undefined {
  const isRoot = ({ authorityKeyId, subjectKeyId }: Certificate) =>
    authorityKeyId === "" || authorityKeyId === subjectKeyId;
  const roots = others.filter(isRoot);
  const intermediates = others.filter((certificate) => !isRoot(certificate));
  const walk = (from: Certificate, seen: readonly Certificate[]): Certificate | undefined => {
    if (!isValid(from, now)) return undefined;
    const root = roots.find((candidate) => isValid(candidate, now) && isIssuedBy(from, candidate));
    if (root !== undefined) return root;
    for (const next of intermediates) {
      if (seen.includes(next) || !isIssuedBy(from, next)) continue;
      const found = walk(next, [...seen, next]);
      if (found !== undefined) return found;
    }
    return undefined;
  };
  return walk(leaf, [leaf]);
}

function isIssuedBy(certificate: Certificate, issuer: Certificate): boolean {
  return issuer.x509.ca && certificate.x509.checkIssued(issuer.x509) && certificate.x509.verify(issuer.x509.publicKey);
}

function isValid(certificate: Certificate, now: Date): boolean {
  return certificate.notBefore <= now && now <= certificate.notAfter;
}
