import assert from "node:assert/strict";
import { describe, test } from "node:test";
import * as der from "../src/der.ts";
import { canonicalIp, ipBytes } from "../src/ip-address.ts";

describe("der", () => {
  for (const [value, hex] of [
    [0n, "020100"],
    [127n, "02017f"],
    [128n, "02020080"],
    [256n, "02020100"],
    [2n ** 63n - 2n, "02087ffffffffffffffe"],
  ] as const) {
    test(`integer() writes ${value} in its shortest form`, () => assert.equal(der.integer(value).toString("hex"), hex));
  }

  test("oid() writes parts above 127 in base 128", () => {
    assert.equal(der.oid("1.2.840.113549.1.1.11").toString("hex"), "06092a864886f70d01010b");
    assert.equal(der.oid("2.5.29.15").toString("hex"), "0603551d0f");
  });

  test("element() writes lengths of one, two and three bytes that readElement() reads", () => {
    for (const [size, header] of [
      [127, "047f"],
      [128, "048180"],
      [256, "04820100"],
      [70_000, "0483011170"],
    ] as const) {
      const written = der.octetString(Buffer.alloc(size, 1));
      assert.equal(written.subarray(0, header.length / 2).toString("hex"), header);
      assert.equal(der.readElement(written).content.length, size);
    }
  });

  test("time() changes its form in 2050", () => {
    assert.equal(der.time(new Date("2049-12-31T23:59:59Z")).toString("latin1"), "\x17\x0d491231235959Z");
    assert.equal(der.time(new Date("2050-01-01T00:00:00Z")).toString("latin1"), "\x18\x0f20500101000000Z");
  });

  test("directoryString() uses UTF-8 only where PrintableString is not enough", () => {
    assert.equal(der.directoryString("system:admin").readUInt8(0), der.TAG.printableString);
    assert.equal(der.directoryString("k3s-server-ca@1").readUInt8(0), der.TAG.utf8String);
  });

  for (const [what, hex] of [
    ["nothing", ""],
    ["a header without a length", "30"],
    ["content that is cut short", "30050101"],
    ["an indefinite length", "3080"],
    ["a length of five bytes", "30850000000001"],
  ] as const) {
    test(`readElement() refuses ${what}`, () => {
      assert.throws(() => der.readElement(Buffer.from(hex, "hex")), RangeError);
    });
  }
});

describe("ipBytes()", () => {
  for (const [text, hex] of [
    ["10.0.0.5", "0a000005"],
    ["::1", "00000000000000000000000000000001"],
    ["::", "00000000000000000000000000000000"],
    ["fd00:1:2::a:b", "fd0000010002000000000000000a000b"],
    ["::ffff:1.2.3.4", "01020304"],
    ["64:ff9b::1.2.3.4", "0064ff9b000000000000000001020304"],
    ["fe80::1%eth0", "fe800000000000000000000000000001"],
  ] as const) {
    test(`reads ${text}`, () => assert.equal(ipBytes(text)?.toString("hex"), hex));
  }
  for (const text of ["", "localhost", "1.2.3", "1.2.3.4.5", "::g", "256.1.1.1"]) {
    test(`finds no address in "${text}"`, () => assert.equal(ipBytes(text), undefined));
  }
  test("canonicalIp() writes one form for equal addresses", () => {
    assert.equal(canonicalIp("0:0:0:0:0:ffff:0102:0304"), "1.2.3.4");
    assert.equal(canonicalIp("FD00:0::1"), "fd00::1");
  });
});
