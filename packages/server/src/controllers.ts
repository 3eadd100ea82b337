import { kubeControllerManager, kubeScheduler } from "@k3s/control-plane";
import { CloudNodeController, NodeMetadata } from "@k3s/controllers";
import { atOnce, type Component } from "@k3s/lifecycle";
import { controlPlaneOptions } from "./control-plane-part.ts";
import type { ServerParts } from "./server-parts.ts";

/** Everything that watches the API and acts on it, upstream's programs and ours; none waits for another. */
export function controllers(parts: ServerParts): Component {
  const { config, host, set, env, records, clients } = parts;
  const runtime = { set, env, records, log: host.log };
  const options = controlPlaneOptions(parts);
  const client = () => clients.get("supervisor");
  const log = (component: string) => host.log.child({ component });
  return atOnce("controllers", [
    kubeControllerManager(options, runtime),
    ...(config.disableScheduler ? [] : [kubeScheduler(options, runtime)]),
    ...(config.disableCloudController ? [] : [new CloudNodeController(client, log("cloud-node-controller"))]),
    ...(config.disableAgent ? [] : [controlPlaneRole(parts, log("control-plane-role"))]),
  ]);
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
