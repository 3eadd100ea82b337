import { describeError } from "@k3s/errors";
import type { HostFacts } from "./host-facts.ts";
import { findNodeId } from "./node-id.ts";
import { parseNodeName } from "./parsers.ts";
import { NODE_ID_FILE } from "./paths.ts";
import type { ServerConfig } from "./server-config.ts";
import type { ServerValues } from "./server-settings.ts";
import type { Report } from "./setting.ts";

/** The name of the node: as given or the host's, with the id of the machine behind it where that was asked for. */
export async function deriveNodeName(
  values: Pick<ServerValues, "nodeName" | "withNodeId">,
  host: HostFacts,
  report: Report,
): Promise<Pick<ServerConfig, "nodeName" | "newNodeId">> {
  const name = values.nodeName ?? hostNodeName(host, report);
  if (!values.withNodeId || name === "") return { nodeName: name, newNodeId: undefined };
  const { id, isNew } = await findNodeId(NODE_ID_FILE);
  return { nodeName: `${name}-${id}`, newNodeId: isNew ? id : undefined };
}

function hostNodeName(host: HostFacts, report: Report): string {
  try {
    return parseNodeName(host.hostname);
  } catch (error) {
    report(`--node-name must be given: the host name ${describeError(error)}`);
    return "";
  }
}
