import { createPublicKey, sign } from "node:crypto";
import * as der from "./der.ts";
import { PkiError } from "./errors.ts";
import { ensureKey } from "./key-pair.ts";
import { publicKeyOf } from "./sign-certificate.ts";

/** A DER PKCS#10 request with an empty subject for the key of the file, which is made when it is missing. */
export async function makeCsr(request: { readonly keyFile: string }): Promise<Uint8Array> {
  const key = await ensureKey(request.keyFile);
  const body = der.sequence(der.integer(0n), der.sequence(), publicKeyOf(key), der.element(0xa0));
  const ecdsaWithSha256 = der.sequence(der.oid("1.2.840.10045.4.3.2"));
  return der.sequence(body, ecdsaWithSha256, der.bitString(sign("sha256", body, key)));
}

/** The SubjectPublicKeyInfo inside a DER PKCS#10 request. Throws PkiError when there is none that can be used. */
export function csrPublicKey(csr: Uint8Array): Buffer {
  try {
    const info = der.childAt(der.readElement(Buffer.from(csr)), 0, der.TAG.sequence);
    const key = createPublicKey({ key: der.childAt(info, 2, der.TAG.sequence).raw, format: "der", type: "spki" });
    return key.export({ type: "spki", format: "der" });
  } catch (error) {
    throw PkiError.badRequest(error);
  }
}
