import { X509Certificate } from "node:crypto";
import { childAt, readChildren, readElement, TAG, type DerElement } from "./der.ts";
import { formatPem, pemBlocks } from "./pem.ts";

/** What the rules of the house need to know of an X.509 certificate. */
export interface Certificate {
  readonly der: Buffer;
  readonly x509: X509Certificate;
  /** DER of the Names and of the SubjectPublicKeyInfo, byte for byte. */
  readonly subject: Buffer;
  readonly publicKey: Buffer;
  readonly commonName: string;
  readonly organizations: readonly string[];
  readonly dnsNames: readonly string[];
  readonly ipAddresses: readonly Buffer[];
  /** Lower-case hex; empty when the extension is absent. */
  readonly subjectKeyId: string;
  readonly authorityKeyId: string;
  readonly notBefore: Date;
  readonly notAfter: Date;
}

const OID = {
  commonName: "550403",
  organization: "55040a",
  subjectKeyId: "551d0e",
  subjectAltName: "551d11",
  authorityKeyId: "551d23",
} as const;

/** Reads one certificate from DER. Throws an Error when it is not one. */
export function parseCertificate(der: Buffer): Certificate {
  const x509 = new X509Certificate(der);
  const fields = readChildren(childAt(readElement(der), 0, TAG.sequence));
  if (fields[0]?.tag === 0xa0) fields.shift(); // the version; absent in version 1
  const [, , , , subject, publicKey] = fields;
  if (subject === undefined || publicKey === undefined)
    throw new RangeError("Cannot read certificate: it is cut short");
  const extensions = readExtensions(fields.find(({ tag }) => tag === 0xa3));
  const names = generalNames(extensions.get(OID.subjectAltName));
  return {
    der,
    x509,
    subject: subject.raw,
    publicKey: publicKey.raw,
    commonName: attributes(subject, OID.commonName).at(-1) ?? "",
    organizations: attributes(subject, OID.organization),
    dnsNames: names.filter(({ tag }) => tag === 0x82).map(({ content }) => content.toString("latin1")),
    ipAddresses: names.filter(({ tag }) => tag === 0x87).map(({ content }) => content),
    subjectKeyId: subjectKeyId(extensions.get(OID.subjectKeyId)),
    authorityKeyId: authorityKeyId(extensions.get(OID.authorityKeyId)),
    notBefore: x509.validFromDate,
    notAfter: x509.validToDate,
  };
}

/** All certificates of a PEM bundle, in order; other blocks are skipped. Throws an Error when one is damaged. */
export function parseCertificates(pem: string): Certificate[] {
  return pemBlocks(pem)
    .filter(({ label }) => label === "CERTIFICATE")
    .map(({ der }) => parseCertificate(der));
}

/** The certificates as one PEM bundle. */
export function formatCertificates(certificates: readonly Pick<Certificate, "der">[]): string {
  return certificates.map(({ der }) => formatPem("CERTIFICATE", der)).join("");
}

function readExtensions(wrapper: DerElement | undefined): Map<string, Buffer> {
  const extensions = new Map<string, Buffer>();
  if (wrapper === undefined) return extensions;
  for (const extension of readChildren(childAt(wrapper, 0, TAG.sequence))) {
    const parts = readChildren(extension);
    const value = parts.find(({ tag }) => tag === TAG.octetString);
    if (parts[0] !== undefined && value !== undefined) extensions.set(parts[0].content.toString("hex"), value.content);
  }
  return extensions;
}

function attributes(name: DerElement, type: string): string[] {
  return readChildren(name)
    .flatMap((set) => readChildren(set))
    .filter((attribute) => childAt(attribute, 0, TAG.oid).content.toString("hex") === type)
    .map((attribute) => childAt(attribute, 1).content.toString("utf8"));
}

function generalNames(extension: Buffer | undefined): DerElement[] {
  return extension === undefined ? [] : readChildren(readElement(extension));
}

function subjectKeyId(extension: Buffer | undefined): string {
  return extension === undefined ? "" : readElement(extension).content.toString("hex");
}

function authorityKeyId(extension: Buffer | undefined): string {
  if (extension === undefined) return "";
  const id = readChildren(readElement(extension)).find(({ tag }) => tag === 0x80);
  return id?.content.toString("hex") ?? "";
}
