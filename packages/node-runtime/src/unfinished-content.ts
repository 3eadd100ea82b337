import { status } from "@grpc/grpc-js";
import { isServiceError } from "./cri-call.ts";
import { formatField, readFields, textField } from "./protobuf.ts";
import { unaryCall } from "./unary-call.ts";

const SERVICE = "/containerd.services.content.v1.Content";
/** What imports of archives are called: this and the name of the file in the archive. Pulls have other names. */
const IMPORTED = "tar-";

interface ContentStore {
  /** Where containerd listens. */
  readonly socket: string;
  readonly namespace: string;
}

/**
 * Drops what imports of archives have begun to write and not finished. containerd keeps it for the next import that has a
 * file of the same name, which would go on writing where the other ended. No import must be under way.
 */
export async function dropUnfinished({ socket, namespace }: ContentStore, signal: AbortSignal): Promise<void> {
  const ask = async (method: string, request: Uint8Array) => {
    const headers = { "containerd-namespace": namespace };
    return await unaryCall({ socket, method: `${SERVICE}/${method}`, request, headers }, signal);
  };
  // ListStatusesResponse has the statuses in field 1; of a Status, field 3 is its reference (content.proto).
  const statuses = readFields(await ask("ListStatuses", Buffer.alloc(0))).filter(({ number }) => number === 1);
  const references = statuses.flatMap(({ value }) =>
    typeof value === "number" ? [] : [textField(readFields(value), 3) ?? ""],
  );
  for (const reference of references.filter((name) => name.startsWith(IMPORTED)))
    await ask("Abort", formatField(1, reference)).catch((error: unknown) => {
      if (!isServiceError(error) || error.code !== status.NOT_FOUND) throw error;
    });
}
