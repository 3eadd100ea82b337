import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { kubeletConfig } from "../src/kubelet-config.ts";
import { fullOptions, goodSettings } from "./node-options.ts";

describe("kubeletConfig()", () => {
  test("asks for certificates of the cluster and lets the API server decide", () => {
    const config = kubeletConfig(fullOptions());
    assert.deepEqual(config["authentication"], {
      anonymous: { enabled: false },
      webhook: { enabled: true, cacheTTL: "2m" },
      x509: { clientCAFile: "/data/agent/client-ca.crt" },
    });
    assert.equal((config["authorization"] as { mode: string }).mode, "Webhook");
  });

  test("turns taints into objects where the release has the field", () => {
    const taints = (kubernetesVersion: string) =>
      kubeletConfig(fullOptions({ kubernetesVersion }))["registerWithTaints"];
    assert.equal(taints("v1.22.0"), undefined);
    assert.deepEqual(taints("v1.23.0"), [
      { key: "k", value: "v", effect: "NoSchedule" },
      { key: "only", effect: "NoExecute" },
    ]);
  });

  test("answers what the machine lacks", () => {
    const config = kubeletConfig(fullOptions({ kubernetesVersion: "v1.35.0" }));
    assert.equal(config["failCgroupV1"], false);
    assert.equal(config["cpuCFSQuota"], false);
    assert.equal(config["kubeletCgroups"], "/k3s");
    assert.equal(config["failSwapOn"], false);
  });

  test("says nothing about it on an ordinary machine", () => {
    const config = kubeletConfig(
      fullOptions({ kubernetesVersion: "v1.35.0", settings: goodSettings, serviceLb: false }),
    );
    for (const name of ["failCgroupV1", "cpuCFSQuota", "kubeletCgroups", "allowedUnsafeSysctls"])
      assert.equal(name in config, false, name);
  });

  test("gives log levels in the form of the release", () => {
    const logging = (kubernetesVersion: string) => kubeletConfig(fullOptions({ kubernetesVersion }))["logging"];
    assert.deepEqual(logging("v1.20.2"), { format: "text" });
    assert.deepEqual(logging("v1.32.0"), {
      format: "text",
      flushFrequency: "5s",
      verbosity: 2,
      vmodule: [
        { filePattern: "reflector", verbosity: 4 },
        { filePattern: "kubelet*", verbosity: 5 },
      ],
    });
  });
});
