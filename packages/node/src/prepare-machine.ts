import {
  chooseSettings,
  inspectMachine,
  inUserNamespace,
  machineWarnings,
  setUpKernel,
  type NodeSettings,
} from "@k3s/node-runtime";
import type { NodeParts } from "./node-parts.ts";

/** Sets the kernel up for pods, finds out what the machine can do, and says what it lacks. */
export async function prepareMachine({ config, cluster, env, host }: NodeParts): Promise<NodeSettings> {
  const log = host.log.child({ component: "machine" });
  const path = env["PATH"] ?? "";
  await setUpKernel({
    log,
    path,
    ipv4: cluster.clusterCidr.some((cidr) => !cidr.includes(":")),
    ipv6: cluster.clusterCidr.some((cidr) => cidr.includes(":")),
    bridgeFiltering: !(cluster.disableKubeProxy && cluster.flannelBackend === "none"),
    conntrack: !(await inUserNamespace()),
  });
  const facts = await inspectMachine({ overlayDirectory: config.paths.agentDir, path });
  const user = { snapshotter: config.snapshotter, underSystemd: host.env["INVOCATION_ID"] !== undefined };
  for (const { found, effect, cure } of machineWarnings(facts, user))
    log.warn({ found, effect, cure }, "the machine lacks something");
  return chooseSettings(facts, user);
}
