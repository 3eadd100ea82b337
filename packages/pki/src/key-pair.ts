import { createPrivateKey, type KeyObject } from "node:crypto";
import { parseCertificates, type Certificate } from "./certificate.ts";
import { PkiError } from "./errors.ts";
import type { CertificatePair } from "./paths.ts";
import { pemBlocks } from "./pem.ts";
import { readText, SECRET_MODE, tighten, writeText } from "./pki-files.ts";
import { generateKey, publicKeyOf } from "./sign-certificate.ts";

/** What a certificate file and its key file hold; undefined where the file is missing. */
export interface LoadedPair {
  readonly certificates: readonly [Certificate, ...Certificate[]] | undefined;
  readonly key: KeyObject | undefined;
}

/** Reads a pair. Rejects with PkiError when a file is unreadable or damaged, or the two do not belong together. */
export async function loadPair(pair: CertificatePair): Promise<LoadedPair> {
  const [certificates, key] = await Promise.all([loadCertificates(pair.cert), loadKey(pair.key)]);
  if (certificates !== undefined && key !== undefined && !publicKeyOf(key).equals(certificates[0].publicKey)) {
    throw PkiError.mismatch(pair);
  }
  return { certificates, key };
}

/** All certificates of a file, at least one; undefined when there is no file. Rejects with PkiError. */
export async function loadCertificates(path: string): Promise<readonly [Certificate, ...Certificate[]] | undefined> {
  const text = await readText(path);
  if (text === undefined) return undefined;
  try {
    const [first, ...rest] = parseCertificates(text);
    if (first !== undefined) return [first, ...rest];
  } catch (error) {
    throw PkiError.corruptCertificate(path, error);
  }
  throw PkiError.corruptCertificate(path);
}

/** The first private key of a file; undefined when there is no file. Makes sure others cannot read it. */
async function loadKey(path: string): Promise<KeyObject | undefined> {
  const text = await readText(path);
  if (text === undefined) return undefined;
  const key = parseKeys(text, path)[0];
  if (key === undefined) throw PkiError.corruptKey(path);
  await tighten(path, SECRET_MODE);
  return key;
}

/** All private keys of a text: SEC1, PKCS#1 or PKCS#8, mixed as one likes. `path` is for the error only. */
export function parseKeys(text: string, path: string): KeyObject[] {
  try {
    return pemBlocks(text)
      .filter(({ label }) => label.endsWith("PRIVATE KEY"))
      .map((block) => createPrivateKey(block.text));
  } catch (error) {
    throw PkiError.corruptKey(path, error);
  }
}

/** The key of the file, or a new one that was written there (SEC1 PEM, 0600). */
export async function ensureKey(path: string): Promise<KeyObject> {
  const present = await loadKey(path);
  if (present !== undefined) return present;
  const key = generateKey();
  await writeText(path, { text: formatKey(key), mode: SECRET_MODE });
  return key;
}

/** An EC private key as SEC1 PEM ("EC PRIVATE KEY"). */
export function formatKey(key: KeyObject): string {
  return key.export({ type: "sec1", format: "pem" }).toString();
}
