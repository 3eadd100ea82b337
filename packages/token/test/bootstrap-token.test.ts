import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  bootstrapSecretName,
  formatBootstrapSecret,
  generateBootstrapToken,
  isBootstrapGroup,
  parseBootstrapSecret,
  parseBootstrapToken,
  parseBootstrapTokenId,
  type BootstrapToken,
} from "../src/index.ts";

const HASH = "0123456789abcdef".repeat(4);
const TOKEN = "abc123.0123456789abcdef";
const PARTS = { id: "abc123", secret: "0123456789abcdef" };
const WHOLE: BootstrapToken = {
  ...PARTS,
  description: "for the rack",
  expires: new Date("2030-01-02T03:04:05Z"),
  usages: ["authentication", "signing"],
  groups: ["system:bootstrappers:a", "system:bootstrappers:b"],
};

/** As the API server gives back what was created. */
function stored(token: BootstrapToken, changes: Readonly<Record<string, string>> = {}) {
  const { stringData } = formatBootstrapSecret(token) as { readonly stringData: Readonly<Record<string, string>> };
  const data = Object.entries({ ...stringData, ...changes }).map(([key, value]) => [key, btoa(value)]);
  return {
    metadata: { name: bootstrapSecretName(token.id) },
    data: Object.fromEntries(data) as Record<string, string>,
  };
}

test("generateBootstrapToken() makes tokens that differ and that parseBootstrapToken() reads", () => {
  const texts = Array.from({ length: 50 }, generateBootstrapToken).map(({ id, secret }) => `${id}.${secret}`);
  assert.equal(new Set(texts).size, 50);
  for (const text of texts) parseBootstrapToken(text);
});

describe("parseBootstrapToken()", () => {
  for (const text of [TOKEN, `K10${HASH}::${TOKEN}`, `K10::${TOKEN}`]) {
    test(`reads ${text.replace(HASH, "<hash>")}`, () => assert.deepEqual(parseBootstrapToken(text), PARTS));
  }

  for (const text of ["", "abc123", "password", `K10${HASH}::server:hunter2`, `K10abc::${TOKEN}`, `${TOKEN}0`]) {
    test(`refuses "${text.replace(HASH, "<hash>")}" without showing it`, () => {
      assert.throws(
        () => parseBootstrapToken(text),
        (error: Error) => "code" in error && error.code === "ERR_TOKEN_NOT_BOOTSTRAP" && !/hunter2/.test(error.message),
      );
    });
  }
});

test("parseBootstrapTokenId() takes an id or a whole token", () => {
  assert.deepEqual(["abc123", TOKEN, `K10${HASH}::${TOKEN}`].map(parseBootstrapTokenId), Array(3).fill("abc123"));
  assert.throws(() => parseBootstrapTokenId("ABC123"), { code: "ERR_TOKEN_NOT_BOOTSTRAP" });
});

test("isBootstrapGroup() says what kube-apiserver takes", () => {
  for (const name of ["system:bootstrappers:k3s:default-node-token", "system:bootstrappers:a"])
    assert.ok(isBootstrapGroup(name), name);
  for (const name of ["system:masters", "system:bootstrappers:", "system:bootstrappers:a-", "system:bootstrappers:A"])
    assert.ok(!isBootstrapGroup(name), name);
});

describe("a bootstrap token in a Secret", () => {
  test("has the fields that kube-apiserver and kubeadm know", () => {
    assert.deepEqual(formatBootstrapSecret(WHOLE), {
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name: "bootstrap-token-abc123", namespace: "kube-system" },
      type: "bootstrap.kubernetes.io/token",
      stringData: {
        "token-id": "abc123",
        "token-secret": "0123456789abcdef",
        description: "for the rack",
        expiration: "2030-01-02T03:04:05Z",
        "usage-bootstrap-authentication": "true",
        "usage-bootstrap-signing": "true",
        "auth-extra-groups": "system:bootstrappers:a,system:bootstrappers:b",
      },
    });
  });

  test("is read back as it was, also when it says the least", () => {
    assert.deepEqual(parseBootstrapSecret(stored(WHOLE)), WHOLE);
    const least = { ...PARTS, description: "", expires: undefined, usages: [], groups: [] };
    assert.deepEqual(parseBootstrapSecret(stored(least)), least);
  });

  test("does not have a usage that is not set to true", () => {
    const secret = stored(WHOLE, { "usage-bootstrap-signing": "false" });
    assert.deepEqual(parseBootstrapSecret(secret).usages, ["authentication"]);
  });

  for (const [field, value] of [
    ["token-id", "abc124"],
    ["token-id", ""],
    ["token-secret", "short"],
    ["expiration", "tomorrow"],
  ] as const) {
    test(`is refused when its ${field} is "${value}", without showing it`, () => {
      assert.throws(() => parseBootstrapSecret(stored(WHOLE, { [field]: value })), {
        code: "ERR_TOKEN_BOOTSTRAP_SECRET",
        message: `Cannot read bootstrap token in secret "bootstrap-token-abc123": its ${field} is not usable`,
      });
    });
  }
});
