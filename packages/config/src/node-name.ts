import { randomBytes } from "node:crypto";
import { dirname } from "node:path";
import { describeError } from "@k3s/errors";
import { makeDirectory, readIfExists, writeFileAtomic } from "@k3s/files";
import type { HostFacts } from "./host-facts.ts";
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
  return values.withNodeId && name !== "" ? `${name}-${await nodeId(NODE_ID_FILE)}` : name;
}

/** Eight hex digits that were made once for this machine (k3s keeps them beside the node's password). */
async function nodeId(path: string): Promise<string> {
  const found = (await readIfExists(path))?.toString("utf8").trim() ?? "";
  if (found !== "") return found;
  const made = randomBytes(4).toString("hex");
  await makeDirectory(dirname(path), 0o755);
  await writeFileAtomic(path, `${made}\n`, { mode: 0o644 });
  return made;
}

function hostNodeName(host: HostFacts, report: Report): string {
  try {
    return parseNodeName(host.hostname);
  } catch (error) {
    report(`--node-name must be given: the host name ${describeError(error)}`);
    return "";
  }
}
