import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { addressBytes, contains, firstHost, formatAddress, formatRange, overlaps, parseRange } from "../src/address.ts";

const range = (text: string) => {
  const parsed = parseRange(text);
  assert.ok(parsed);
  return parsed;
};

describe("addressBytes() and formatAddress()", () => {
  const cases = [
    ["10.42.0.1", "0a2a0001", "10.42.0.1"],
    ["fd00:42::", "fd000042000000000000000000000000", "fd00:42::"],
    ["::", "00000000000000000000000000000000", "::"],
    ["2001:DB8:0:0:1:0:0:1", "20010db8000000000001000000000001", "2001:db8::1:0:0:1"],
    ["::ffff:1.2.3.4", "00000000000000000000ffff01020304", "::ffff:102:304"],
    ["1:2:3:4:5:6:7:8", "00010002000300040005000600070008", "1:2:3:4:5:6:7:8"],
  ] as const;
  for (const [text, hex, spelled] of cases) {
    test(`${text} is ${hex} on the wire, and ${spelled} again`, () => {
      const bytes = addressBytes(text);
      assert.deepEqual([bytes.toString("hex"), formatAddress(bytes)], [hex, spelled]);
    });
  }

  for (const text of ["", "10.42.0", "10.42.0.256", "fe80::1%eth0", "::1/64"])
    test(`addressBytes() refuses "${text}"`, () => assert.throws(() => addressBytes(text), RangeError));
});

describe("parseRange()", () => {
  const cases = [
    ["10.42.3.7/16", "10.42.0.0/16"],
    ["10.42.3.7/23", "10.42.2.0/23"],
    ["0.0.0.0/0", "0.0.0.0/0"],
    ["10.42.0.1/32", "10.42.0.1/32"],
    ["fd00:42:0:ff::9/56", "fd00:42::/56"],
  ] as const;
  for (const [text, spelled] of cases)
    test(`reads ${text} as ${spelled}`, () => assert.equal(formatRange(range(text)), spelled));

  for (const text of ["", "10.42.0.0", "10.42.0.0/33", "10.42.0.0/-1", "10.42.0.0/8/8", "fd00::/129", "pods/8"])
    test(`reads nothing from "${text}"`, () => assert.equal(parseRange(text), undefined));
});

describe("contains() and overlaps()", () => {
  const cases = [
    ["10.42.0.0/16", "10.42.9.0/24", true, true],
    ["10.42.9.0/24", "10.42.0.0/16", false, true],
    ["10.42.0.0/16", "10.43.0.0/24", false, false],
    ["10.42.0.0/16", "fd00::/64", false, false],
    ["0.0.0.0/0", "10.42.0.0/24", true, true],
    ["fd00:42::/56", "fd00:42:0:1::/64", true, true],
  ] as const;
  for (const [outer, inner, isInside, isShared] of cases) {
    test(`${inner} in ${outer}: ${isInside}, shared: ${isShared}`, () =>
      assert.deepEqual(
        [contains(range(outer), range(inner)), overlaps(range(outer), range(inner))],
        [isInside, isShared],
      ));
  }
});

describe("firstHost()", () => {
  for (const [text, address] of [
    ["10.42.3.0/24", "10.42.3.1"],
    ["fd00:42:0:3::/64", "fd00:42:0:3::1"],
  ] as const)
    test(`of ${text} is ${address}`, () => assert.equal(firstHost(range(text)), address));
});
