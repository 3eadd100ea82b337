import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { describe, test } from "node:test";
import { addressAnnotations, nodeArgumentAnnotations } from "../src/index.ts";
import { announcedAddresses } from "../src/node-addresses.ts";

describe("nodeArgumentAnnotations()", () => {
  test("splits --flag=value and masks what follows a secret flag", () => {
    const annotations = nodeArgumentAnnotations(["server", "--token=hunter2", "--node-name", "a", "-t", "hunter3"], {});
    assert.equal(annotations["k3s.io/node-args"], '["server","--token","********","--node-name","a","-t","********"]');
  });

  for (const args of [["-t=hunter2"], ["-token", "hunter2"], ["-token=hunter2"], ["--datastore-endpoint=a=hunter2"]]) {
    test(`masks ${args.join(" ")}`, () => {
      const { "k3s.io/node-args": text = "" } = nodeArgumentAnnotations(["server", ...args], {});
      assert.match(text, /"\*{8}"\]$/);
      assert.doesNotMatch(text, /hunter/);
    });
  }

  test("records K3S_ variables and masks the secret ones", () => {
    const { "k3s.io/node-env": env } = nodeArgumentAnnotations([], {
      PATH: "/bin",
      K3S_TOKEN: "hunter2",
      K3S_NODE_NAME: "a",
    });
    assert.equal(env, '{"K3S_NODE_NAME":"a","K3S_TOKEN":"********"}');
  });

  test("hashes arguments and environment, in base32 with padding", () => {
    const { "k3s.io/node-config-hash": hash } = nodeArgumentAnnotations(["server"], {});
    const script = `printf '["server"]{}' | sha256sum | cut -c1-64 | tr a-f A-F | basenc --base16 -d | base32 -w0`;
    assert.equal(hash, execFileSync("sh", ["-c", script]).toString());
  });
});

describe("announcedAddresses()", () => {
  const node = (annotations: Record<string, string>, labels: Record<string, string> = {}) => ({
    metadata: { name: "a", annotations, labels },
    spec: {},
  });

  test("gives back what addressAnnotations() announced, in the cloud provider's order", () => {
    const annotations = addressAnnotations({
      internalIps: ["10.0.0.1", "fd00::1"],
      externalIps: ["1.2.3.4"],
      hostname: "box",
    });
    assert.deepEqual(announcedAddresses(node(annotations)), [
      { type: "InternalIP", address: "10.0.0.1" },
      { type: "InternalIP", address: "fd00::1" },
      { type: "ExternalIP", address: "1.2.3.4" },
      { type: "Hostname", address: "box" },
    ]);
  });

  test("is undefined until the node has announced an internal address", () => {
    assert.equal(announcedAddresses(node({ "k3s.io/hostname": "box" })), undefined);
  });

  test("reads the labels that older nodes announced by, and falls back to the node's name", () => {
    assert.deepEqual(announcedAddresses(node({}, { "k3s.io/internal-ip": "10.0.0.1" })), [
      { type: "InternalIP", address: "10.0.0.1" },
      { type: "Hostname", address: "a" },
    ]);
  });
});
