import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { isDialAllowed, type DialNetworks } from "../src/index.ts";

const none: DialNetworks = { kubeletPort: 10_250, contains: () => false };
const pods: DialNetworks = { kubeletPort: 10_250, contains: (ip, port) => ip === "10.42.0.7" && port === 8080 };

describe("isDialAllowed()", () => {
  for (const address of ["127.0.0.1:10250", "[::1]:10250", "127.0.0.1:10010"])
    test(`lets the server reach ${address}`, () => assert.ok(isDialAllowed({ network: "tcp", address }, none)));

  for (const [network, address] of [
    ["tcp", "127.0.0.1:22"],
    ["tcp", "10.0.0.1:10250"],
    ["udp", "127.0.0.1:10250"],
    ["unix", "/run/k3s/containerd/containerd.sock"],
    ["tcp", "localhost:10250"],
    ["tcp", "10.42.0.7:22"],
    ["tcp", ""],
  ] as const)
    test(`refuses ${network}/${address}`, () => assert.ok(!isDialAllowed({ network, address }, pods)));

  test("lets the server reach what the networks contain", () => {
    assert.ok(isDialAllowed({ network: "tcp", address: "10.42.0.7:8080" }, pods));
  });
});
