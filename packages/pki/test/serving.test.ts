import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { annotationKey, includesName, isAllowedName, normalizeName } from "../src/serving-names.ts";
import { mergeServing, type ServingCertificate } from "../src/serving-secret.ts";

describe("annotationKey()", () => {
  for (const [name, key] of [
    ["127.0.0.1", "listener.cattle.io/cn-127.0.0.1"],
    ["::1", "listener.cattle.io/cn-__1-f16284"],
    [
      "a-very-long-host-name.some-subdomain.example-company.internal",
      "listener.cattle.io/cn-a-very-long-host-name.some-subdoma-0ac6a3",
    ],
  ] as const) {
    test(`is ${key} for ${name}`, () => assert.equal(annotationKey(name), key));
  }

  test("uses names as they are up to 63 characters of key", () => {
    const prefix = "listener.cattle.io/cn-";
    assert.equal(annotationKey("x".repeat(63 - prefix.length)), prefix + "x".repeat(63 - prefix.length));
    assert.match(annotationKey("x".repeat(64 - prefix.length)), /^listener\.cattle\.io\/cn-x{34}-[0-9a-f]{6}$/);
  });
});

describe("isAllowedName()", () => {
  for (const name of ["a", "node1", "a.b-c_d", "::1", "10.0.0.1", "X.example"]) {
    test(`lets "${name}" in from a connection`, () => assert.ok(isAllowedName(name, "connection")));
  }
  for (const name of ["", "-a", "a-", "a b", "a/b", "a.", "ä", "*", "a.*.b"]) {
    test(`refuses "${name}" from everywhere`, () => {
      assert.ok(!isAllowedName(name, "connection"));
      assert.ok(!isAllowedName(name, "configuration"));
    });
  }
  test("takes wildcards from the configuration only", () => {
    assert.ok(isAllowedName("*.example.org", "configuration"));
    assert.ok(!isAllowedName("*.example.org", "connection"));
  });
});

describe("includesName()", () => {
  test("lets a wildcard stand for exactly one label of a host name", () => {
    const names = ["*.example.org"];
    assert.ok(includesName(names, "a.example.org"));
    assert.ok(!includesName(names, "a.b.example.org"));
    assert.ok(!includesName(names, "example.org"));
    assert.ok(!includesName(["*.0.0.1"], "127.0.0.1"));
  });
});

describe("normalizeName()", () => {
  for (const [given, expected] of [
    ["::ffff:192.168.1.2", "192.168.1.2"],
    ["FE80::1%eth0", "fe80::1"],
    ["0:0:0:0:0:0:0:1", "::1"],
    ["Node-1", "node-1"],
  ] as const) {
    test(`writes ${given} as ${expected}`, () => assert.equal(normalizeName(given), expected));
  }
});

describe("mergeServing()", () => {
  const now = new Date("2027-01-01T00:00:00Z");
  const days = (count: number) => new Date(now.getTime() + count * 86_400_000);
  const certificate = (changes: Partial<ServingCertificate>): ServingCertificate => {
    return { certPem: "", keyPem: "", names: ["a"], notAfter: days(365), isStatic: false, ...changes };
  };
  const both = certificate({ names: ["a", "b"] });

  test("keeps a target the operator brought", () => {
    assert.deepEqual(mergeServing(certificate({ isStatic: true }), both, now), { kind: "keep-target" });
  });
  test("takes the additional one when it has all names", () => {
    assert.deepEqual(mergeServing(certificate({}), both, now), { kind: "take-additional" });
    assert.deepEqual(mergeServing(both, both, now), { kind: "take-additional" });
  });
  test("keeps a target with all names when the additional one is older", () => {
    const older = { ...both, notAfter: days(364) };
    assert.deepEqual(mergeServing(both, older, now), { kind: "keep-target" });
    assert.deepEqual(mergeServing(older, both, now), { kind: "take-additional" });
    assert.deepEqual(mergeServing(certificate({}), older, now), { kind: "sign", names: ["a", "b"] });
  });
  test("keeps a target with all names when the additional one expires soon or lacks some", () => {
    const ending = { ...both, notAfter: days(120) };
    assert.deepEqual(mergeServing(both, ending, now), { kind: "keep-target" });
    assert.deepEqual(mergeServing(both, certificate({ names: ["b"] }), now), { kind: "keep-target" });
  });
  test("signs for the names of both otherwise, sorted", () => {
    const decision = mergeServing(certificate({ names: ["b"] }), certificate({ names: ["a"] }), now);
    assert.deepEqual(decision, { kind: "sign", names: ["a", "b"] });
  });
});
