import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { kubeProxyArgs } from "../src/kube-proxy-args.ts";
import { kubeletArgs } from "../src/kubelet-args.ts";
import { flagsOf, fullOptions, goodSettings } from "./node-options.ts";

describe("kubeletArgs()", () => {
  test("tells 1.20 by flag what later releases read from their configuration", () => {
    const flags = flagsOf(kubeletArgs(fullOptions({ kubernetesVersion: "1.20.2" })));
    assert.equal(flags.get("container-runtime"), "remote");
    assert.equal(flags.get("container-runtime-endpoint"), "unix:///run/k3s/containerd/containerd.sock");
    assert.equal(flags.get("register-with-taints"), "k=v:NoSchedule,only:NoExecute");
    assert.equal(flags.get("config"), "/data/agent/etc/kubelet-config.yaml");
    assert.equal(flags.get("pod-infra-container-image"), "rancher/mirrored-pause:3.10.2");
    assert.equal(flags.get("kubeconfig"), "/data/agent/kubelet.kubeconfig");
    assert.equal(flags.get("node-labels"), "a=b,c=");
  });

  test("gives newer releases the folder of drop-ins", () => {
    const flags = flagsOf(kubeletArgs(fullOptions({ kubernetesVersion: "v1.30.0" })));
    assert.equal(flags.get("config-dir"), "/data/agent/etc/kubelet.conf.d");
    assert.equal(flags.has("container-runtime"), false);
  });

  const addresses = [
    { version: "v1.28.0", cloudController: true, nodeIps: ["192.0.2.1", "2001:db8::1"], expected: "192.0.2.1" },
    {
      version: "v1.29.0",
      cloudController: true,
      nodeIps: ["192.0.2.1", "2001:db8::1"],
      expected: "192.0.2.1,2001:db8::1",
    },
    { version: "v1.29.0", cloudController: false, nodeIps: ["192.0.2.1", "2001:db8::1"], expected: undefined },
    { version: "v1.20.2", cloudController: false, nodeIps: ["192.0.2.1"], expected: "192.0.2.1" },
  ] as const;
  for (const { version, cloudController, nodeIps, expected } of addresses)
    test(`passes node-ip ${String(expected)} to ${version} for ${nodeIps.length} addresses, cloud ${String(cloudController)}`, () => {
      const flags = flagsOf(kubeletArgs(fullOptions({ kubernetesVersion: version, cloudController, nodeIps })));
      assert.equal(flags.get("node-ip"), expected);
      assert.equal(flags.get("cloud-provider"), cloudController ? "external" : undefined);
    });

  test("leaves out what an ordinary machine does not need", () => {
    const { imageCredentialProvider: _, ...options } = fullOptions({
      settings: goodSettings,
      nodeLabels: [],
      nodeTaints: [],
    });
    const flags = flagsOf(kubeletArgs(options));
    for (const name of [
      "runtime-cgroups",
      "feature-gates",
      "image-credential-provider-config",
      "node-labels",
      "register-with-taints",
    ])
      assert.equal(flags.has(name), false, name);
  });

  test("lets the user's arguments win", () => {
    const flags = flagsOf(kubeletArgs(fullOptions({ kubeletArgs: ["read-only-port=10255", "max-pods=200"] })));
    assert.equal(flags.get("read-only-port"), "10255");
    assert.equal(flags.get("max-pods"), "200");
  });
});

test("kubeProxyArgs() leaves connection tracking to us", () => {
  const flags = flagsOf(kubeProxyArgs(fullOptions()));
  assert.equal(flags.get("conntrack-max-per-core"), "0");
  assert.equal(flags.get("conntrack-tcp-timeout-established"), "0s");
  assert.equal(flags.get("proxy-mode"), "iptables");
  assert.equal(flags.get("cluster-cidr"), "10.42.0.0/16,fd00:42::/56");
  assert.equal(flags.get("hostname-override"), "node-1");
});
