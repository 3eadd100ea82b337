import { describeError } from "@k3s/errors";
import type { HostFacts } from "./host-facts.ts";
import { ensureNodeId } from "./node-id.ts";
import { parseNodeName } from "./parsers.ts";
import { NODE_ID_FILE } from "./paths.ts";
import type { ServerValues } from "./server-settings.ts";
import type { Report } from "./setting.ts";

/** The name of the node: as given or the host's, with the id of the machine behind it where that was asked for. */
export async function deriveNodeName(
  values: Pick<ServerValues, "nodeName" | "withNodeId">,
  host: HostFacts,
  report: Report,
): Promise<string> {
  const name = values.nodeName ?? hostNodeName(host, report);
  return values.withNodeId && name !== "" ? `${name}-${await ensureNodeId(NODE_ID_FILE)}` : name;
}

function hostNodeName(host: HostFacts, report: Report): string {
  try {
    return parseNodeName(host.hostname);
  } catch (error) {
    report(`--node-name must be given: the host name ${describeError(error)}`);
    return "";
  }
}
