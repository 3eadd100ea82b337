import assert from "node:assert/strict";
import { createHash, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { describe, test } from "node:test";
import { caHash, parseToken, verifyCaHash } from "../src/index.ts";
import { folder, makeAuthority } from "./support.ts";

const sha256 = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");

async function bundle(...files: readonly string[]): Promise<Buffer> {
  return Buffer.concat(await Promise.all(files.map((file) => readFile(file))));
}

describe("caHash()", () => {
  test("is over the raw bytes of a single certificate, the line feed at the end included", async (t) => {
    const pem = await readFile(await makeAuthority({ dir: await folder(t), name: "root" }));
    assert.equal(caHash(pem), sha256(pem));
    const trimmed = pem.subarray(0, -1);
    assert.equal(caHash(trimmed), sha256(trimmed));
    assert.notEqual(caHash(pem), caHash(trimmed));
  });

  test("is over the DER of the root of a chain, the same after the issuing CA was replaced", async (t) => {
    const dir = await folder(t);
    const root = await makeAuthority({ dir, name: "root" });
    const middle = await makeAuthority({ dir, name: "middle", issuer: "root" });
    const one = await makeAuthority({ dir, name: "one", issuer: "middle" });
    const two = await makeAuthority({ dir, name: "two", issuer: "middle" });
    const expected = sha256(new X509Certificate(await readFile(root)).raw);
    assert.equal(caHash(await bundle(one, middle, root)), expected);
    assert.equal(caHash(await bundle(two, root, middle)), expected);
  });

  test("takes a root without an authority key id for a root", async (t) => {
    const dir = await folder(t);
    const root = await makeAuthority({ dir, name: "root", extensions: ["authorityKeyIdentifier=none"] });
    const issuing = await makeAuthority({ dir, name: "issuing", issuer: "root" });
    assert.equal(caHash(await bundle(issuing, root)), sha256(new X509Certificate(await readFile(root)).raw));
  });

  for (const what of ["of another root", "whose middle is missing", "that is not valid yet"] as const) {
    test(`is over the raw bytes of a chain ${what}`, async (t) => {
      const dir = await folder(t);
      const root = await makeAuthority({ dir, name: "root" });
      await makeAuthority({ dir, name: "middle", issuer: "root" });
      const other = await makeAuthority({ dir, name: "other" });
      const one = await makeAuthority({
        dir,
        name: "one",
        issuer: what === "that is not valid yet" ? "root" : "middle",
      });
      const pem = await bundle(one, what === "of another root" ? other : root);
      assert.equal(caHash(pem, what === "that is not valid yet" ? new Date(0) : new Date()), sha256(pem));
    });
  }

  test("is over the raw bytes once the issuing certificate has expired", async (t) => {
    const dir = await folder(t);
    const root = await makeAuthority({ dir, name: "root" });
    const issuing = await makeAuthority({ dir, name: "issuing", issuer: "root", days: 1 });
    const pem = await bundle(issuing, root);
    assert.notEqual(caHash(pem), sha256(pem));
    assert.equal(caHash(pem, new Date(Date.now() + 2 * 86_400_000)), sha256(pem));
  });

  test("does not follow a certificate that only has the name and key id of the issuer", async (t) => {
    const dir = await folder(t);
    const extensions = ["authorityKeyIdentifier=none", "subjectKeyIdentifier=0102030405060708"];
    await makeAuthority({ dir, name: "root", extensions });
    const issuing = await makeAuthority({ dir, name: "issuing", issuer: "root" });
    const forged = await makeAuthority({ dir, name: "root", extensions });
    const pem = await bundle(issuing, forged);
    assert.equal(caHash(pem), sha256(pem));
  });

  for (const text of ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]) {
    test(`refuses ${JSON.stringify(text)}`, () => {
      assert.throws(() => caHash(Buffer.from(text)), { code: "ERR_TOKEN_CA_UNREADABLE" });
    });
  }
});

describe("verifyCaHash()", () => {
  test("trusts the CA the token names, says when the token names none, and refuses any other", async (t) => {
    const dir = await folder(t);
    const pem = await readFile(await makeAuthority({ dir, name: "root" }));
    const other = await readFile(await makeAuthority({ dir, name: "other" }));
    const token = parseToken(`K10${sha256(pem)}::node:secret`);
    assert.equal(verifyCaHash(token, pem), "verified");
    assert.equal(verifyCaHash(parseToken("secret"), pem), "unverified");
    assert.throws(() => verifyCaHash(token, other), {
      code: "ERR_TOKEN_CA_MISMATCH",
      message: `Cannot trust server: token CA hash does not match the Cluster CA certificate hash: ${sha256(pem)} != ${sha256(other)}`,
    });
  });
});
