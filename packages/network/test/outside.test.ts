import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { findOutside, type Surroundings } from "../src/outside.ts";

const link = (index: number, name: string) => ({ index, name, mtu: 1500, isUp: true, mac: "", kind: "" });
const address = (on: number, text: string, isGlobal = true) => ({ link: on, address: text, length: 24, isGlobal });
const route = (on: number, metric: number, destination = "0.0.0.0/0") => ({
  ...{ destination, gateway: "192.0.2.1", link: on, isOnlink: false, protocol: 3, metric },
});

const AROUND: Surroundings = {
  links: [link(1, "lo"), link(2, "eth0"), link(3, "eth1"), link(4, "wg0")],
  addresses: [
    address(1, "127.0.0.1", false),
    ...[address(2, "192.0.2.7"), address(2, "192.0.2.8"), address(3, "198.51.100.7"), address(3, "fd99::7")],
  ],
  routes: [route(3, 100), route(2, 50), route(4, 0, "10.0.0.0/8")],
};

describe("findOutside()", () => {
  const cases = [
    ["the interface with the node's address", { nodeIps: ["198.51.100.7"] }, ["eth1", "198.51.100.7"]],
    ["the node's second address of it", { nodeIps: ["192.0.2.8"] }, ["eth0", "192.0.2.8"]],
    [
      "the best default route when the node's address is not on this machine",
      { nodeIps: ["203.0.113.9"] },
      ["eth0", "192.0.2.7"],
    ],
    ["the interface that was asked for", { name: "eth1", nodeIps: ["192.0.2.7"] }, ["eth1", "198.51.100.7"]],
    ["the address of the family", { family: 6 as const, nodeIps: ["192.0.2.7", "fd99::7"] }, ["eth1", "fd99::7"]],
    ["nothing without such an interface", { name: "eth7" }, undefined],
    ["nothing where the interface has no address", { name: "wg0" }, undefined],
    ["nothing where the family has no way out", { family: 6 as const }, undefined],
  ] as const;
  for (const [what, question, expected] of cases) {
    test(`finds ${what}`, () => {
      const found = findOutside({ family: 4, name: undefined, nodeIps: [], ...question }, AROUND);
      assert.deepEqual(found && [found.link.name, found.address], expected);
    });
  }
});
