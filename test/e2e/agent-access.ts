import { writeFile } from "node:fs/promises";
import type { K3sServer } from "@k3s/testkit";
import type { ClusterAccess } from "./acknowledged-writes.ts";

const ADMIN = "/var/lib/admin.yaml";

/** Lets the administrator work on an agent: through the agent's own balancer. */
export async function inviteAdmin(agent: K3sServer, server: K3sServer): Promise<void> {
  const config = await server.host.run("cat", "/etc/rancher/k3s/k3s.yaml");
  await writeFile(agent.host.outside(ADMIN), config.replace("127.0.0.1:6443", "127.0.0.1:6444"), { mode: 0o600 });
}

/** The cluster as seen from an agent, whose balancer finds a server. */
export function through(agent: K3sServer): ClusterAccess {
  return { kubectl: (...args) => agent.kubectl("--kubeconfig", ADMIN, ...args) };
}

/** Whether the API answers on an agent. */
export async function answers(agent: K3sServer): Promise<boolean> {
  return (await through(agent).kubectl("get", "--raw=/readyz", "--request-timeout=2s")) === "ok";
}
