import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { nodeAnnotations } from "../src/node-annotations.ts";
import type { NodeParts } from "../src/node-parts.ts";

function annotationsOf(disableCloudController: boolean, nodeExternalIp: readonly string[] = []) {
  const config = { nodeName: "rack-1", nodeIp: ["10.0.0.2", "fd00::2"], nodeExternalIp };
  // Sound: nothing else of the two is read.
  return nodeAnnotations({ config, cluster: { disableCloudController } } as unknown as NodeParts, "rack-1.example");
}

const NAMES = ["internal-ip", "external-ip", "internal-dns", "external-dns", "hostname"].map(
  (name) => `k3s.io/${name}`,
);

describe("nodeAnnotations()", () => {
  test("announces the addresses, and takes away an external one that is no more", () => {
    const { annotations, unwantedAnnotations } = annotationsOf(false);
    assert.deepEqual(annotations, { "k3s.io/internal-ip": "10.0.0.2,fd00::2", "k3s.io/hostname": "rack-1.example" });
    assert.deepEqual(unwantedAnnotations, ["k3s.io/external-ip", "k3s.io/internal-dns", "k3s.io/external-dns"]);
    assert.ok(!annotationsOf(false, ["203.0.113.1"]).unwantedAnnotations.includes("k3s.io/external-ip"));
  });

  test("takes every address of an earlier start away where the built-in cloud controller is switched off", () => {
    const { annotations, unwantedAnnotations } = annotationsOf(true, ["203.0.113.1"]);
    assert.deepEqual(annotations, {});
    assert.deepEqual([...unwantedAnnotations].sort(), [...NAMES].sort());
  });
});
