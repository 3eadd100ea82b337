import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { controllerManagerArgs } from "../src/controller-manager-args.ts";
import { schedulerArgs } from "../src/scheduler-args.ts";
import { flagsOf, fullOptions } from "./control-plane-options.ts";

describe("controllerManagerArgs()", () => {
  test("signs client and serving certificates with the two authorities", () => {
    const flags = flagsOf(controllerManagerArgs(fullOptions()));
    assert.equal(flags.get("cluster-signing-kubelet-client-cert-file"), "/data/server/tls/client-ca.nochain.crt");
    assert.equal(flags.get("cluster-signing-kubelet-client-key-file"), "/data/server/tls/client-ca.key");
    assert.equal(flags.get("cluster-signing-kubelet-serving-cert-file"), "/data/server/tls/server-ca.nochain.crt");
    assert.equal(flags.get("cluster-signing-legacy-unknown-key-file"), "/data/server/tls/server-ca.key");
  });

  test("leaves the loops of a cloud to our own node controller", () => {
    const own = flagsOf(controllerManagerArgs(fullOptions()));
    assert.equal(own.get("controllers"), "*,tokencleaner,-service,-route,-cloud-node-lifecycle");
    assert.equal(own.get("configure-cloud-routes"), "false");
    const none = flagsOf(controllerManagerArgs(fullOptions({ cloudController: false })));
    assert.equal(none.get("controllers"), "*,tokencleaner");
    assert.equal(none.has("configure-cloud-routes"), false);
  });

  test("stands for election unless it is alone", () => {
    assert.equal(flagsOf(controllerManagerArgs(fullOptions())).get("leader-elect"), "false");
    assert.equal(
      flagsOf(controllerManagerArgs(fullOptions({ singleServerDatastore: false }))).has("leader-elect"),
      false,
    );
  });
});

describe("plain HTTP listeners of old releases", () => {
  const cases = [
    { name: "kube-controller-manager", makeArgs: controllerManagerArgs, last: "v1.23.17", first: "v1.24.0" },
    { name: "kube-scheduler", makeArgs: schedulerArgs, last: "v1.22.17", first: "v1.23.0" },
  ] as const;
  for (const { name, makeArgs, last, first } of cases)
    test(`${name} gets port 0 up to ${last}`, () => {
      const port = (kubernetesVersion: string) => flagsOf(makeArgs(fullOptions({ kubernetesVersion }))).get("port");
      assert.equal(port(last), "0");
      assert.equal(port(first), undefined);
    });
});
