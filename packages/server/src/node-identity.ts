import type { ServerConfig } from "@k3s/config";
import { ensureDirectory } from "@k3s/files";
import type { Component } from "@k3s/lifecycle";
import { ensureAgentPki } from "@k3s/pki";
import { ensureNodePassword } from "@k3s/token";

/** Certificates, kubeconfigs and password of the server's own node, signed with the CAs on this machine. */
export function nodeIdentity(config: ServerConfig, apiServerUrl: string): Component {
  const { paths, nodeName, nodeIp, nodeExternalIp } = config;
  return {
    name: "node-identity",
    start: async () => {
      await ensureDirectory(paths.agentDir, 0o700);
      const nodeIps = [...nodeIp, ...nodeExternalIp];
      await ensureAgentPki({ agentDir: paths.agentDir, serverDir: paths.serverDir, nodeName, nodeIps, apiServerUrl });
      await ensureNodePassword({ path: paths.nodePasswordFile });
    },
    stop: () => Promise.resolve(),
  };
}
