import { join } from "node:path";
import { serverTlsPaths } from "@k3s/pki";
import type { ControlPlaneOptions } from "./control-plane-options.ts";

/** Where the file is kept (k3s). */
export function egressSelectorPath(serverDirectory: string): string {
  return join(serverDirectory, "etc/egress-selector-config.yaml");
}

/** The text of `etc/egress-selector-config.yaml` (JSON is YAML): how kube-apiserver reaches nodes. */
export function egressSelectorConfig(
  options: Pick<ControlPlaneOptions, "serverDirectory" | "egressMode" | "loopback" | "httpsPort">,
): string {
  const host = options.loopback.includes(":") ? `[${options.loopback}]` : options.loopback;
  const tls = serverTlsPaths(options.serverDirectory);
  const tunnel = {
    proxyProtocol: "HTTPConnect",
    transport: {
      tcp: {
        url: `https://${host}:${options.httpsPort}`,
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
