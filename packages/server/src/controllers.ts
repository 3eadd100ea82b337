import { kubeControllerManager, kubeScheduler } from "@k3s/control-plane";
import { CloudNodeController, KUBERNETES_TIMES, NodeMetadata } from "@k3s/controllers";
import { atOnce, type Component } from "@k3s/lifecycle";
import { controlPlaneOptions } from "./control-plane-part.ts";
import { electedPart } from "./elected-part.ts";
import type { ServerParts } from "./server-parts.ts";

/** Everything that watches the API and acts on it, upstream's programs and ours; none waits for another. */
export function controllers(parts: ServerParts): Component {
  const { config, host, set, env, records } = parts;
  const runtime = { set, env, records, log: host.log };
  const options = controlPlaneOptions(parts);
  const log = (component: string) => host.log.child({ component });
  return atOnce("controllers", [
    kubeControllerManager(options, runtime),
    ...(config.disableScheduler ? [] : [kubeScheduler(options, runtime)]),
    ...(config.disableCloudController ? [] : [cloudNodes(parts, log("cloud-node-controller"))]),
    ...(config.disableAgent ? [] : [controlPlaneRole(parts, log("control-plane-role"))]),
  ]);
}

/** k3s runs it in its cloud controller manager, whose lease this is. */
function cloudNodes(parts: ServerParts, log: ServerParts["host"]["log"]): Component {
  return electedPart(parts, {
    name: "cloud-nodes",
    lease: "k3s-cloud-controller-manager",
    times: () => KUBERNETES_TIMES,
    members: () => [new CloudNodeController(() => parts.clients.get("supervisor"), log)],
  });
}

/** Role labels are not a kubelet's to set: the supervisor marks this machine's node. */
function controlPlaneRole({ config, clients }: ServerParts, log: ServerParts["host"]["log"]): Component {
  return new NodeMetadata({
    name: "control-plane-role",
    client: () => clients.get("supervisor"),
    nodeName: config.nodeName,
    labels: { "node-role.kubernetes.io/control-plane": "true" },
    annotations: {},
    log,
  });
}
