import type { KeyObject } from "node:crypto";
import { removeIfExists } from "@k3s/files";
import type { Authority } from "./authority.ts";
import { formatCertificates, parseCertificate, type Certificate } from "./certificate.ts";
import { PkiError } from "./errors.ts";
import { ipBytes } from "./ip-address.ts";
import { formatKey, loadPair } from "./key-pair.ts";
import type { CertificatePair } from "./paths.ts";
import { PUBLIC_MODE, SECRET_MODE, writeText } from "./pki-files.ts";
import { generateKey, publicKeyOf, signLeaf, type KeyPurpose, type LeafRequest } from "./sign-certificate.ts";

/** A leaf as it should be on disk. */
export interface LeafPlan {
  readonly pair: CertificatePair;
  readonly issuer: Authority;
  readonly commonName: string;
  readonly organizations: readonly string[];
  readonly sans: readonly string[];
  readonly purposes: readonly KeyPurpose[];
}

/** The moment, and how long new leaves last. */
export interface Term {
  readonly now: Date;
  readonly lifetimeDays: number;
}

/** Why a leaf is made anew. */
export type RenewalReason =
  | "authority-new"
  | "expiring"
  | "not-yet-valid"
  | "common-name"
  | "organizations"
  | "names"
  | "authority-key"
  | "missing";

/** Days before its end from which on a leaf is renewed. */
const RENEWAL_WINDOW_DAYS = 120;
const DAY_MS = 86_400_000;

/** The first rule by which the certificate has to be made anew, or undefined when it is fine. */
function renewalReason(plan: LeafPlan, certificate: Certificate, now: Date): RenewalReason | undefined {
  const rules: readonly (readonly [RenewalReason, boolean])[] = [
    ["authority-new", plan.issuer.isNew],
    ["expiring", isExpiring(certificate.notAfter, now)],
    ["not-yet-valid", now < certificate.notBefore],
    ["common-name", certificate.commonName !== plan.commonName],
    ["organizations", !sameSet(certificate.organizations, plan.organizations)],
    ["names", !plan.sans.every((name) => covers(certificate, name))],
    ["authority-key", certificate.authorityKeyId !== plan.issuer.certificate.subjectKeyId],
  ];
  return rules.find(([, applies]) => applies)?.[0];
}

/** Whether a certificate with this end is inside the renewal window, or past it. */
export function isExpiring(notAfter: Date, now: Date): boolean {
  return notAfter.getTime() - now.getTime() <= RENEWAL_WINDOW_DAYS * DAY_MS;
}

/** Whether a certificate names `name`, exactly: wildcards stand for themselves. */
function covers(certificate: Pick<Certificate, "dnsNames" | "ipAddresses">, name: string): boolean {
  const address = ipBytes(name);
  if (address === undefined) return certificate.dnsNames.includes(name);
  return certificate.ipAddresses.some((present) => present.equals(address));
}

/**
 * Makes the leaf when the renewal rule says so, with a new key unless only a file was missing.
 * Resolves with the reason, or undefined when nothing was done. Rejects with PkiError.
 */
export async function ensureLeaf(plan: LeafPlan, term: Term): Promise<RenewalReason | undefined> {
  const { certificates, key } = await loadPair(plan.pair);
  const reason =
    (certificates && renewalReason(plan, certificates[0], term.now)) ??
    (certificates === undefined || key === undefined ? "missing" : undefined);
  if (reason === undefined) return undefined;
  const kept = reason === "missing" && !plan.issuer.isNew ? key : undefined;
  // In this order a start that is cut off leaves a missing file, never a pair that does not fit.
  await removeIfExists(plan.pair.cert);
  const used = kept ?? generateKey();
  if (used !== key) await writeText(plan.pair.key, { text: formatKey(used), mode: SECRET_MODE });
  await writeText(plan.pair.cert, { text: leafChain(plan, used, term), mode: PUBLIC_MODE });
  return reason;
}

/** Signs a leaf and returns it with the whole bundle of its issuer, as PEM. Throws PkiError for an impossible name. */
export function signChain(issuer: Authority, request: LeafRequest): string {
  const impossible = request.sans.find((name) => ipBytes(name) === undefined && !/^[\x21-\x7e]+$/.test(name));
  if (impossible !== undefined) throw PkiError.invalidName(impossible);
  const leaf = parseCertificate(signLeaf(issuer, request));
  return formatCertificates([leaf]) + issuer.bundle;
}

function leafChain(plan: LeafPlan, key: KeyObject, term: Term): string {
  const { commonName, organizations, sans, purposes } = plan;
  return signChain(plan.issuer, { commonName, organizations, sans, purposes, publicKey: publicKeyOf(key), ...term });
}

function sameSet(left: readonly string[], right: readonly string[]): boolean {
  return left.every((value) => right.includes(value)) && right.every((value) => left.includes(value));
}
