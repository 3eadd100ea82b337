import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { decodeAddress, setAddress } from "../../src/netlink/addresses.ts";
import { createVxlan, decodeLink } from "../../src/netlink/links.ts";
import { decodeAttributes, decodeMessages, encodeMessage, type Message } from "../../src/netlink/message.ts";
import { decodeNeighbour, deleteNeighbour, setNeighbour } from "../../src/netlink/neighbours.ts";
import { decodeRoute, deleteRoute, setRoute } from "../../src/netlink/routes.ts";
import { RECORDED } from "./recorded.ts";

const bytes = (hex: string) => Buffer.from(hex.replaceAll(/\s/g, ""), "hex");
const read = (hex: string): Message => {
  const [message] = decodeMessages(bytes(hex));
  assert.ok(message);
  return message;
};

describe("what a kernel said", () => {
  test("is a vxlan interface", () =>
    assert.deepEqual(decodeLink(read(RECORDED.link)), {
      ...{ index: 4, name: "flannel.1", mtu: 1450, isUp: true, mac: "02:00:00:00:00:0a", kind: "vxlan" },
      vxlan: { vni: 1, port: 8472, local: "10.99.0.11", link: 3, isLearning: false },
    }));
  test("is an address", () =>
    assert.deepEqual(decodeAddress(read(RECORDED.address)), {
      link: 4,
      address: "10.42.0.0",
      length: 32,
      isGlobal: true,
    }));
  test("is a route", () =>
    assert.deepEqual(decodeRoute(read(RECORDED.route)), {
      ...{ destination: "10.42.1.0/24", gateway: "10.42.1.0", link: 4, isOnlink: true, protocol: 3, metric: 0 },
    }));
  test("is a neighbour", () =>
    assert.deepEqual(decodeNeighbour(read(RECORDED.neighbour)), {
      ...{ table: "neighbour", link: 4, address: "10.42.1.0", mac: "02:00:00:00:00:0b" },
    }));
  test("is a forwarding entry", () =>
    assert.deepEqual(decodeNeighbour(read(RECORDED.forwarding)), {
      ...{ table: "forwarding", link: 4, address: "10.99.0.12", mac: "02:00:00:00:00:0b" },
    }));
  test("is nothing to a decoder of something else", () => {
    assert.equal(decodeLink(read(RECORDED.route)), undefined);
    assert.equal(decodeAddress(read(RECORDED.link)), undefined);
    assert.equal(decodeRoute(read(RECORDED.address)), undefined);
    assert.equal(decodeNeighbour(read(RECORDED.address)), undefined);
  });
});

describe("what we say to a kernel", () => {
  // Structures of linux/if_link.h, if_addr.h, rtnetlink.h, neighbour.h, field by field.
  const cases: readonly (readonly [string, Message, string])[] = [
    [
      "a vxlan interface",
      createVxlan({
        ...{ name: "flannel.1", mtu: 1450, mac: "02:00:00:00:00:0a" },
        vxlan: { vni: 1, port: 8472, local: "10.99.0.11", link: 2, isLearning: false },
      }),
      `80000000 1000 0006 01000000 00000000  00 00 0000 00000000 00000000 00000000
       0e00 0300 666c616e6e656c2e3100 0000  0800 0400 aa050000  0a00 0100 02000000000a 0000
       3c00 1200  0a00 0100 76786c616e00 0000  2c00 0200
       0800 0100 01000000  0800 0300 02000000  0800 0400 0a63000b  0500 0700 00 000000  0600 0f00 2118 0000`,
    ],
    [
      "an address",
      setAddress({ link: 3, address: "10.42.0.0", length: 32, isGlobal: true }),
      "28000000 1400 0005 01000000 00000000  02 20 00 00 03000000  0800 0200 0a2a0000  0800 0100 0a2a0000",
    ],
    [
      "a route",
      setRoute({ destination: "10.42.1.0/24", gateway: "10.42.1.0", link: 3, isOnlink: true, protocol: 3, metric: 0 }),
      `34000000 1800 0005 01000000 00000000  02 18 00 00 fe 03 00 01 04000000
       0800 0100 0a2a0100  0800 0500 0a2a0100  0800 0400 03000000`,
    ],
    [
      "the end of a route with a metric",
      deleteRoute({ destination: "10.42.1.0/24", gateway: "", link: 2, isOnlink: false, protocol: 4, metric: 1024 }),
      `34000000 1900 0000 01000000 00000000  02 18 00 00 fe 04 00 01 00000000
       0800 0100 0a2a0100  0800 0400 02000000  0800 0600 00040000`,
    ],
    [
      "a neighbour",
      setNeighbour({ table: "neighbour", link: 3, address: "10.42.1.0", mac: "02:00:00:00:00:0b" }),
      "30000000 1c00 0005 01000000 00000000  02 00 0000 03000000 8000 00 00  0800 0100 0a2a0100  0a00 0200 02000000000b 0000",
    ],
    [
      "the end of a forwarding entry",
      deleteNeighbour({ table: "forwarding", link: 3, address: "10.99.0.12", mac: "02:00:00:00:00:0b" }),
      "30000000 1d00 0000 01000000 00000000  07 00 0000 03000000 8000 02 00  0800 0100 0a63000c  0a00 0200 02000000000b 0000",
    ],
  ];
  for (const [what, message, hex] of cases)
    test(`is ${what}`, () => assert.equal(encodeMessage(message).toString("hex"), bytes(hex).toString("hex")));
});

describe("damaged bytes", () => {
  const whole = bytes(RECORDED.route);
  for (const length of [1, 15, 16, 40])
    test(`decodeMessages() refuses a message cut off after ${length} bytes`, () =>
      assert.throws(() => decodeMessages(whole.subarray(0, length)), RangeError));
  test("decodeMessages() refuses a length that leads nowhere", () =>
    assert.throws(() => decodeMessages(Buffer.alloc(32)), RangeError));
  test("decodeAttributes() refuses an attribute longer than what is there", () =>
    assert.throws(() => decodeAttributes(bytes("0c00 0100 0a2a0100")), RangeError));
});
