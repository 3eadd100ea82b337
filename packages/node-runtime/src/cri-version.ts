import { criCall } from "./cri-call.ts";
import { readFields, textField } from "./protobuf.ts";

export interface CriVersion {
  readonly runtimeName: string;
  readonly runtimeVersion: string;
}

/** Asks the container runtime behind a unix socket for its version through CRI. Rejects while it does not answer. */
export async function criVersion(socket: string, signal: AbortSignal): Promise<CriVersion> {
  const request = Buffer.alloc(0);
  return parseVersionResponse(await criCall({ socket, method: "RuntimeService/Version", request }, signal));
}

/** Reads fields 2 and 3 of VersionResponse (cri-api, api.proto). */
function parseVersionResponse(bytes: Uint8Array): CriVersion {
  const fields = readFields(bytes);
  return { runtimeName: textField(fields, 2) ?? "", runtimeVersion: textField(fields, 3) ?? "" };
}
