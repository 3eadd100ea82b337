import { NodeError } from "@k3s/errors";

/** A machine that cannot be a node of this cluster, whatever it waits for. */
export class AgentError extends NodeError {
  override readonly name = "AgentError";

  static addressFamilies(families: { readonly node: string; readonly cluster: string }): AgentError {
    const message =
      "Cannot join the cluster: --node-ip must have an address of each family of the cluster's --cluster-cidr: " +
      `they are ${families.node} and ${families.cluster}`;
    const hint = "Give --node-ip an address of this machine for each of them, separated by a comma";
    return new AgentError("ERR_NODE_ADDRESS_FAMILIES", message, { hint });
  }

  static rangeFamilies(families: { readonly pods: string; readonly services: string }): AgentError {
    const message =
      "Cannot join the cluster: its --cluster-cidr and --service-cidr must be of the same families: " +
      `they are ${families.pods} and ${families.services}`;
    const hint = "Set the cluster up anew with ranges of the same families";
    return new AgentError("ERR_CLUSTER_ADDRESS_FAMILIES", message, { hint });
  }
}
