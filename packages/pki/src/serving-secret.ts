import { parseCertificates } from "./certificate.ts";
import { isExpiring } from "./leaf.ts";
import { parseKeys } from "./key-pair.ts";
import { annotationKey, includesName, NAME_PREFIX } from "./serving-names.ts";
import { publicKeyOf } from "./sign-certificate.ts";

/** The certificate of the supervisor port as it is in use. */
export interface ServingCertificate {
  /** Leaf and the bundle of its CA. */
  readonly certPem: string;
  readonly keyPem: string;
  /** Host names and addresses it is for, sorted. */
  readonly names: readonly string[];
  readonly notAfter: Date;
  /** Brought by the operator: never changed. */
  readonly isStatic: boolean;
}

/** The part of a v1.Secret that matters, in the form of `dynamic-cert.json` and of kube-system/k3s-serving. */
export interface ServingSecret {
  readonly apiVersion: "v1";
  readonly kind: "Secret";
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly annotations: Readonly<Record<string, string>>;
  };
  readonly type: "kubernetes.io/tls";
  readonly data: { readonly "tls.crt": string; readonly "tls.key": string };
}

/** Which of two certificates goes on, or which names a new one with the key of the first is for. */
export type Merge =
  | { readonly kind: "keep-target" }
  | { readonly kind: "take-additional" }
  | { readonly kind: "sign"; readonly names: readonly string[] };

const STATIC = "listener.cattle.io/static";
const FINGERPRINT = "listener.cattle.io/fingerprint";

/** Writes a certificate as a Secret. */
export function formatServingSecret(certificate: ServingCertificate): ServingSecret {
  const names = certificate.names.map((name): [string, string] => [annotationKey(name), name]);
  const fingerprint = leafOf(certificate.certPem).x509.fingerprint.replaceAll(":", "");
  const annotations = {
    ...Object.fromEntries(names),
    [FINGERPRINT]: `SHA1=${fingerprint}`,
    ...(certificate.isStatic ? { [STATIC]: "true" } : {}),
  };
  return {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: "k3s-serving", namespace: "kube-system", annotations },
    type: "kubernetes.io/tls",
    data: { "tls.crt": encode(certificate.certPem), "tls.key": encode(certificate.keyPem) },
  };
}

/** Reads a Secret. Throws an Error when it holds no certificate with its key. */
export function parseServingSecret(secret: unknown): ServingCertificate {
  const data = field(secret, "data");
  const certPem = decode(field(data, "tls.crt"));
  const keyPem = decode(field(data, "tls.key"));
  const leaf = leafOf(certPem);
  const [key] = parseKeys(keyPem, "tls.key");
  if (key === undefined || !publicKeyOf(key).equals(leaf.publicKey))
    throw new Error("the key is not that of the certificate");
  const annotations = Object.entries(field(field(secret, "metadata"), "annotations") ?? {});
  const names = annotations.filter(([name]) => name.startsWith(NAME_PREFIX)).map(([, value]) => String(value));
  const isStatic = annotations.some(([name, value]) => name === STATIC && value === "true");
  return { certPem, keyPem, names: names.sort(), notAfter: leaf.notAfter, isStatic };
}

/** How the certificate in use and one found elsewhere become one. */
export function mergeServing(target: ServingCertificate, additional: ServingCertificate, now: Date): Merge {
  if (target.isStatic) return { kind: "keep-target" };
  const names = [...new Set([...target.names, ...additional.names])].sort();
  const hasAll = (candidate: ServingCertificate) => names.every((name) => includesName(candidate.names, name));
  // An older one would undo a renewal, a new key, or the change of the CA.
  const isOlder = additional.notAfter < target.notAfter;
  if (hasAll(additional) && !isOlder && !isExpiring(additional.notAfter, now)) return { kind: "take-additional" };
  return hasAll(target) ? { kind: "keep-target" } : { kind: "sign", names };
}

function leafOf(certPem: string) {
  const [leaf] = parseCertificates(certPem);
  if (leaf === undefined) throw new Error("there is no certificate");
  return leaf;
}

function field(value: unknown, name: string): unknown {
  if (typeof value !== "object" || value === null) return undefined;
  return new Map<string, unknown>(Object.entries(value)).get(name);
}

function encode(text: string): string {
  return Buffer.from(text, "utf8").toString("base64");
}

function decode(value: unknown): string {
  return typeof value === "string" ? Buffer.from(value, "base64").toString("utf8") : "";
}
