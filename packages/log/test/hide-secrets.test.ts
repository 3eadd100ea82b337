import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { hideSecrets } from "../src/index.ts";

describe("hideSecrets()", () => {
  const cases = [
    ["postgres://u:S3cret@h/db?x=1", "postgres://u:********@h/db?x=1"],
    ["nats://me:1S3cret", "nats://me:********"],
    ["nats://h:4222", "nats://h:4222"],
    ["nats://h:4222,h2:4223?x=1", "nats://h:4222,h2:4223?x=1"],
    ["postgres://h/db?pwd=S3cret&x=1", "postgres://h/db?pwd=********&x=1"],
    ["server=h;uid=me;passwd = S3cret", "server=h;uid=me;passwd =********"],
    [
      "tcp(h)/db?allowNativePasswords=x&AllowCleartextPasswords=y",
      "tcp(h)/db?allowNativePasswords=x&AllowCleartextPasswords=y",
    ],
    ["tcp(h)/db?allowNativePasswords=x&password=S3cret", "tcp(h)/db?allowNativePasswords=x&password=********"],
  ] as const;
  for (const [endpoint, expected] of cases)
    test(`shows ${endpoint} as ${expected}`, () => assert.equal(hideSecrets(endpoint), expected));

  test("hides all behind a name where no parameter can be a secret", () => {
    const shown = hideSecrets("nats://h?x=1&pass=S3c&ret", { hasSecretParameters: false, mask: "…" });
    assert.equal(shown, "nats://h?x=1&pass=…");
  });
});
