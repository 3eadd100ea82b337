import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { egressSelectorConfig } from "../src/egress-selector-config.ts";
import { ControlPlaneError } from "../src/errors.ts";
import { kubeApiserverArgs } from "../src/kube-apiserver-args.ts";
import { flagsOf, fullOptions } from "./control-plane-options.ts";

describe("kubeApiserverArgs()", () => {
  test("points at the files and addresses of the server", () => {
    const flags = flagsOf(kubeApiserverArgs(fullOptions({ etcd: { servers: "unix://kine.sock" } })));
    assert.equal(flags.get("etcd-servers"), "unix://kine.sock");
    assert.equal(flags.get("bind-address"), "127.0.0.1");
    assert.equal(flags.get("secure-port"), "6444");
    assert.equal(flags.get("service-cluster-ip-range"), "10.43.0.0/16,fd00:43::/112");
    assert.equal(flags.get("service-account-issuer"), "https://kubernetes.default.svc.cluster.local");
    assert.equal(flags.get("api-audiences"), "https://kubernetes.default.svc.cluster.local,k3s");
    assert.equal(flags.get("client-ca-file"), "/data/server/tls/client-ca.crt");
    assert.equal(flags.get("proxy-client-cert-file"), "/data/server/tls/client-auth-proxy.crt");
    assert.equal(flags.has("etcd-cafile"), false);
  });

  test("leaves egress and encryption out when they are off", () => {
    const flags = flagsOf(kubeApiserverArgs(fullOptions({ egressMode: "disabled", secretsEncryption: false })));
    for (const name of ["egress-selector-config-file", "enable-aggregator-routing", "encryption-provider-config"])
      assert.equal(flags.has(name), false, name);
  });

  test("reloads the encryption configuration only where the release can", () => {
    const reloads = (version: string) =>
      flagsOf(kubeApiserverArgs(fullOptions({ kubernetesVersion: version }))).has(
        "encryption-provider-config-automatic-reload",
      );
    assert.equal(reloads("v1.25.16"), false);
    assert.equal(reloads("v1.26.0"), true);
  });

  const replaced = [
    { config: "authorization-config", flag: "authorization-mode" },
    { config: "authentication-config", flag: "anonymous-auth" },
  ] as const;
  for (const { config, flag } of replaced)
    test(`leaves ${flag} out when the user gives ${config}`, () => {
      assert.equal(flagsOf(kubeApiserverArgs(fullOptions())).has(flag), true);
      const flags = flagsOf(kubeApiserverArgs(fullOptions({ apiserverArgs: [`${config}=/etc/x.yaml`] })));
      assert.equal(flags.has(flag), false);
      assert.equal(flags.get(config), "/etc/x.yaml");
    });

  test("puts the user's value in the place of a default", () => {
    const flags = flagsOf(
      kubeApiserverArgs(fullOptions({ apiserverArgs: ["--tls-cipher-suites=TLS_AES_128_GCM_SHA256"] })),
    );
    assert.equal(flags.get("tls-cipher-suites"), "TLS_AES_128_GCM_SHA256");
  });

  const refused = [
    { version: "v1.19.16", code: "ERR_KUBERNETES_VERSION_UNSUPPORTED" },
    { version: "v2.0.0", code: "ERR_KUBERNETES_VERSION_UNKNOWN" },
    { version: "", code: "ERR_KUBERNETES_VERSION_UNKNOWN" },
  ] as const;
  for (const { version, code } of refused)
    test(`refuses version "${version}" with ${code}`, () => {
      assert.throws(
        () => kubeApiserverArgs(fullOptions({ kubernetesVersion: version })),
        (error) => error instanceof ControlPlaneError && error.code === code && error.hint !== undefined,
      );
    });

  for (const version of ["1.20.2", "v1.34.1+k3s1", "v1.36.0-rc.1", "v1.40.0"])
    test(`takes version "${version}"`, () =>
      assert.ok(kubeApiserverArgs(fullOptions({ kubernetesVersion: version })).length > 20));
});

describe("egressSelectorConfig()", () => {
  const parse = (options: Parameters<typeof egressSelectorConfig>[0]) =>
    JSON.parse(egressSelectorConfig(options)) as { apiVersion: string; egressSelections: unknown }; // our own text

  test("sends node traffic through the supervisor as kube-apiserver", () => {
    const { apiVersion, egressSelections } = parse(fullOptions({ loopback: "::1" }));
    assert.equal(apiVersion, "apiserver.k8s.io/v1beta1");
    const tlsConfig = {
      caBundle: "/data/server/tls/server-ca.crt",
      clientKey: "/data/server/tls/client-kube-apiserver.key",
      clientCert: "/data/server/tls/client-kube-apiserver.crt",
    };
    const transport = { tcp: { url: "https://[::1]:6443", tlsConfig } };
    assert.deepEqual(egressSelections, [{ name: "cluster", connection: { proxyProtocol: "HTTPConnect", transport } }]);
  });

  test("connects directly when egress is disabled", () => {
    const { egressSelections } = parse(fullOptions({ egressMode: "disabled" }));
    assert.deepEqual(egressSelections, [{ name: "cluster", connection: { proxyProtocol: "Direct" } }]);
  });
});
