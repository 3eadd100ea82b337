import type { NodeMetadataOptions } from "@k3s/controllers";
import type { NodeParts } from "./node-parts.ts";

/** Tells servers that they may dial more than the kubelet through the node's tunnels (k3s). */
const CLUSTER_TRAFFIC = "egress.k3s.io/cluster";

/** What the operator asked for, and the label by which servers know how much the node's tunnels carry: it is ours alone. */
export function nodeLabels({
  config,
  cluster,
}: Pick<NodeParts, "config" | "cluster">): Pick<NodeMetadataOptions, "labels" | "unwantedLabels"> {
  const given = config.nodeLabel.filter(({ key }) => key !== CLUSTER_TRAFFIC);
  const labels = Object.fromEntries(given.map(({ key, value }) => [key, value]));
  const mode = cluster.egressSelectorMode;
  if (mode !== "cluster" && mode !== "pod") return { labels, unwantedLabels: [CLUSTER_TRAFFIC] };
  return { labels: { ...labels, [CLUSTER_TRAFFIC]: "true" } };
}
