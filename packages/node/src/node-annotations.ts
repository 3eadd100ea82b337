import { ADDRESS_ANNOTATION_NAMES, addressAnnotations, type NodeMetadataOptions } from "@k3s/controllers";
import type { NodeParts } from "./node-parts.ts";

/**
 * The addresses that the built-in cloud controller reads from a node. Those of an earlier start that are none any more are taken away, all
 * of them where it is switched off: another cloud provider says then what the addresses are.
 */
export function nodeAnnotations(
  { config, cluster }: Pick<NodeParts, "config" | "cluster">,
  hostname: string,
): Required<Pick<NodeMetadataOptions, "annotations" | "unwantedAnnotations">> {
  const addresses = {
    internalIps: config.nodeIp,
    externalIps: config.nodeExternalIp,
    hostname: hostname === "" || hostname.includes("localhost") ? config.nodeName : hostname,
  };
  const annotations = cluster.disableCloudController ? {} : addressAnnotations(addresses);
  return { annotations, unwantedAnnotations: ADDRESS_ANNOTATION_NAMES.filter((name) => !(name in annotations)) };
}
