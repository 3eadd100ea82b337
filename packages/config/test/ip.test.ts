import assert from "node:assert/strict";
import { describe, test } from "node:test";
import {
  addressAt,
  contains,
  formatAddress,
  formatCidr,
  overlaps,
  parseAddress,
  parseCidr,
  type Cidr,
} from "../src/ip.ts";

const cidr = (text: string): Cidr => {
  const value = parseCidr(text);
  assert.ok(value, text);
  return value;
};

describe("parseAddress() and formatAddress()", () => {
  const cases = [
    ["10.42.0.1", "10.42.0.1"],
    ["255.255.255.255", "255.255.255.255"],
    ["::", "::"],
    ["::1", "::1"],
    ["FD00:42:0:0:0:0:0:1", "fd00:42::1"],
    ["1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8"],
    ["fd00::", "fd00::"],
    ["64:ff9b::10.1.2.3", "64:ff9b::a01:203"],
  ] as const;
  for (const [text, canonical] of cases) {
    test(`reads ${text} and writes ${canonical}`, () => {
      const address = parseAddress(text);
      assert.ok(address);
      assert.equal(formatAddress(address), canonical);
    });
  }

  for (const text of ["", "10.42.0", "10.42.0.256", "010.0.0.1", "::g", "fe80::1%eth0", "1:2:3:4:5:6:7:8:9", "host"]) {
    test(`refuses "${text}"`, () => assert.equal(parseAddress(text), undefined));
  }
});

describe("parseCidr()", () => {
  test("clears the host bits", () => {
    assert.equal(formatCidr(cidr("10.42.7.9/16")), "10.42.0.0/16");
    assert.equal(formatCidr(cidr("fd00:42::99/56")), "fd00:42::/56");
    assert.equal(formatCidr(cidr("0.0.0.0/0")), "0.0.0.0/0");
    assert.equal(formatCidr(cidr("10.1.2.3/32")), "10.1.2.3/32");
  });

  for (const text of ["10.42.0.0", "10.42.0.0/33", "10.42.0.0/-1", "fd00::/129", "10.42.0.0/", "/16", "10.0.0.0/8/8"]) {
    test(`refuses "${text}"`, () => assert.equal(parseCidr(text), undefined));
  }
});

describe("contains() and overlaps()", () => {
  test("contains() knows the first and the last address, and the ones beside them", () => {
    const range = cidr("10.42.0.0/16");
    const holds = (text: string) => {
      const address = parseAddress(text);
      assert.ok(address);
      return contains(range, address);
    };
    assert.deepEqual(["10.41.255.255", "10.42.0.0", "10.42.255.255", "10.43.0.0", "::1"].map(holds), [
      false,
      true,
      true,
      false,
      false,
    ]);
  });

  test("overlaps() is true for nested ranges in both orders, false for neighbours and other families", () => {
    assert.ok(overlaps(cidr("10.0.0.0/8"), cidr("10.43.0.0/16")));
    assert.ok(overlaps(cidr("10.43.0.0/16"), cidr("10.0.0.0/8")));
    assert.ok(!overlaps(cidr("10.42.0.0/16"), cidr("10.43.0.0/16")));
    assert.ok(!overlaps(cidr("::/0"), cidr("0.0.0.0/0")));
  });
});

describe("addressAt()", () => {
  test("counts from the network address, in both families", () => {
    const at = (text: string, offset: number) => {
      const address = addressAt(cidr(text), offset);
      return address && formatAddress(address);
    };
    assert.equal(at("10.43.0.0/16", 10), "10.43.0.10");
    assert.equal(at("fd00:43::/112", 10), "fd00:43::a");
    assert.equal(at("10.43.0.0/29", 7), "10.43.0.7");
    assert.equal(at("10.43.0.0/29", 8), undefined);
  });
});
