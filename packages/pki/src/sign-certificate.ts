import { createHash, createPublicKey, generateKeyPairSync, randomBytes, sign, type KeyObject } from "node:crypto";
import type { Certificate } from "./certificate.ts";
import * as der from "./der.ts";
import { ipBytes } from "./ip-address.ts";

/** What a leaf may be used for. */
export type KeyPurpose = "serverAuth" | "clientAuth";

/** Everything about a leaf that its issuer does not decide. */
export interface LeafRequest {
  readonly commonName: string;
  readonly organizations: readonly string[];
  /** DNS names and IP addresses, told apart by their form. */
  readonly sans: readonly string[];
  readonly purposes: readonly KeyPurpose[];
  /** DER SubjectPublicKeyInfo. */
  readonly publicKey: Buffer;
  readonly lifetimeDays: number;
  readonly now: Date;
}

/** The first certificate of a CA bundle with its private key. */
export interface Issuer {
  readonly certificate: Pick<Certificate, "subject" | "subjectKeyId" | "notBefore">;
  readonly key: KeyObject;
}

const DAY_MS = 86_400_000;
const BACKDATE_MS = 3_600_000;
const CA_LIFETIME_DAYS = 3650;
const PURPOSE_OID = { serverAuth: "1.3.6.1.5.5.7.3.1", clientAuth: "1.3.6.1.5.5.7.3.2" } as const;
/** KeyUsage bits (RFC 5280, 4.2.1.3) with their padding: digitalSignature, keyEncipherment, keyCertSign. */
const LEAF_USAGE = der.bitString(Buffer.of(0xa0), 5);
const CA_USAGE = der.bitString(Buffer.of(0xa4), 2);

/** A new EC P-256 key, the only kind the house makes for certificates. */
export function generateKey(): KeyObject {
  return generateKeyPairSync("ec", { namedCurve: "prime256v1" }).privateKey;
}

/** A self-signed CA certificate in DER: serial 0, ten years, from an hour ago. */
export function signAuthority(request: { readonly commonName: string; readonly key: KeyObject; readonly now: Date }) {
  const { key, now } = request;
  const publicKey = publicKeyOf(key);
  const subject = name(request.commonName, []);
  return signed(key, {
    serial: 0n,
    issuer: subject,
    subject,
    publicKey,
    notBefore: new Date(now.getTime() - BACKDATE_MS),
    notAfter: new Date(now.getTime() + CA_LIFETIME_DAYS * DAY_MS),
    extensions: [
      extension("2.5.29.15", CA_USAGE, true),
      extension("2.5.29.19", der.sequence(der.booleanTrue()), true),
      extension("2.5.29.14", der.octetString(keyId(publicKey))),
    ],
  });
}

/** A leaf certificate in DER. Throws TypeError for a name that no certificate can hold. */
export function signLeaf(issuer: Issuer, request: LeafRequest): Buffer {
  const { certificate, key } = issuer;
  const backdated = new Date(request.now.getTime() - BACKDATE_MS);
  const extensions = [
    extension("2.5.29.15", LEAF_USAGE, true),
    extension("2.5.29.37", der.sequence(...request.purposes.map((purpose) => der.oid(PURPOSE_OID[purpose])))),
  ];
  if (certificate.subjectKeyId !== "") {
    const id = der.element(0x80, Buffer.from(certificate.subjectKeyId, "hex"));
    extensions.push(extension("2.5.29.35", der.sequence(id)));
  }
  if (request.sans.length > 0) {
    extensions.push(extension("2.5.29.17", der.sequence(...request.sans.map(generalName))));
  }
  return signed(key, {
    serial: randomSerial(),
    issuer: certificate.subject,
    subject: name(request.commonName, request.organizations),
    publicKey: request.publicKey,
    notBefore: backdated < certificate.notBefore ? certificate.notBefore : backdated,
    notAfter: new Date(request.now.getTime() + request.lifetimeDays * DAY_MS),
    extensions,
  });
}

/** DER SubjectPublicKeyInfo of a private key. */
export function publicKeyOf(privateKey: KeyObject): Buffer {
  return createPublicKey(privateKey).export({ type: "spki", format: "der" });
}

interface ToBeSigned {
  readonly serial: bigint;
  readonly issuer: Buffer;
  readonly subject: Buffer;
  readonly publicKey: Buffer;
  readonly notBefore: Date;
  readonly notAfter: Date;
  readonly extensions: readonly Buffer[];
}

function signed(key: KeyObject, fields: ToBeSigned): Buffer {
  const { algorithm, hash } = signatureAlgorithm(key);
  const body = der.sequence(
    der.explicit(0, der.integer(2n)), // version 3
    der.integer(fields.serial),
    algorithm,
    fields.issuer,
    der.sequence(der.time(fields.notBefore), der.time(fields.notAfter)),
    fields.subject,
    fields.publicKey,
    der.explicit(3, der.sequence(...fields.extensions)),
  );
  return der.sequence(body, algorithm, der.bitString(sign(hash, body, key)));
}

/** RFC 5758 for ECDSA with the hash that matches the curve, RFC 4055 for RSA, RFC 8410 for Ed25519. */
function signatureAlgorithm(key: KeyObject): { readonly algorithm: Buffer; readonly hash: string | null } {
  if (key.asymmetricKeyType === "ed25519") return { algorithm: der.sequence(der.oid("1.3.101.112")), hash: null };
  if (key.asymmetricKeyType === "rsa") {
    return { algorithm: der.sequence(der.oid("1.2.840.113549.1.1.11"), der.element(0x05)), hash: "sha256" };
  }
  const curve = key.asymmetricKeyDetails?.namedCurve;
  if (curve === "secp384r1") return { algorithm: der.sequence(der.oid("1.2.840.10045.4.3.3")), hash: "sha384" };
  if (curve === "secp521r1") return { algorithm: der.sequence(der.oid("1.2.840.10045.4.3.4")), hash: "sha512" };
  return { algorithm: der.sequence(der.oid("1.2.840.10045.4.3.2")), hash: "sha256" };
}

/** A Name with the organizations before the common name, the order of Go's encoder. */
function name(commonName: string, organizations: readonly string[]): Buffer {
  const attribute = (type: string, text: string) => der.sequence(der.oid(type), der.directoryString(text));
  const sets = [der.element(der.TAG.set, attribute("2.5.4.3", commonName))];
  if (organizations.length > 0) {
    const values = organizations
      .map((organization) => attribute("2.5.4.10", organization))
      .sort((left, right) => left.compare(right));
    sets.unshift(der.element(der.TAG.set, ...values));
  }
  return der.sequence(...sets);
}

function extension(id: string, value: Uint8Array, critical = false): Buffer {
  return der.sequence(der.oid(id), ...(critical ? [der.booleanTrue()] : []), der.octetString(value));
}

function generalName(text: string): Buffer {
  const address = ipBytes(text);
  if (address !== undefined) return der.element(0x87, address);
  if (!/^[\x21-\x7e]+$/.test(text)) throw new TypeError(`Cannot put "${text}" into a certificate: not an ASCII name`);
  return der.element(0x82, Buffer.from(text, "latin1"));
}

/** Random, positive, below 2^63 - 1, as upstream's. */
function randomSerial(): bigint {
  return (randomBytes(8).readBigUInt64BE() % (2n ** 63n - 2n)) + 1n;
}

/** SHA-1 of the public key bits (RFC 5280, 4.2.1.2, method 1). */
function keyId(publicKey: Buffer): Buffer {
  const bits = der.childAt(der.readElement(publicKey), 1, der.TAG.bitString).content.subarray(1);
  return createHash("sha1").update(bits).digest();
}
