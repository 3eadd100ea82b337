import { serverTlsPaths } from "@k3s/pki";
import type { ControlPlaneOptions } from "./control-plane-options.ts";

/** The text of `etc/egress-selector-config.yaml` (JSON is YAML): how kube-apiserver reaches nodes. */
export function egressSelectorConfig(
  options: Pick<ControlPlaneOptions, "serverDirectory" | "egressMode">,
  supervisorUrl: string,
): string {
  const tls = serverTlsPaths(options.serverDirectory);
  const tunnel = {
    proxyProtocol: "HTTPConnect",
    transport: {
      tcp: {
        url: supervisorUrl,
        tlsConfig: {
          caBundle: tls.serverCa.cert,
          clientKey: tls.clientApiServer.key,
          clientCert: tls.clientApiServer.cert,
        },
      },
    },
  };
  const connection = options.egressMode === "disabled" ? { proxyProtocol: "Direct" } : tunnel;
  return `${JSON.stringify({
    kind: "EgressSelectorConfiguration",
    apiVersion: "apiserver.k8s.io/v1beta1",
    egressSelections: [{ name: "cluster", connection }],
  })}\n`;
}
