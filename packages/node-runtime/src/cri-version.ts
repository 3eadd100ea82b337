import { Client, credentials, status, type ServiceError } from "@grpc/grpc-js";

export interface CriVersion {
  readonly runtimeName: string;
  readonly runtimeVersion: string;
}

/** Newest first: containerd before 1.6 has the second only, containerd from 2.0 on the first only. */
const SERVICES = ["runtime.v1.RuntimeService", "runtime.v1alpha2.RuntimeService"] as const;

/** Asks the container runtime behind a unix socket for its version through CRI. Rejects while it does not answer. */
export async function criVersion(socket: string, signal: AbortSignal): Promise<CriVersion> {
  const client = new Client(`unix://${socket}`, credentials.createInsecure());
  try {
    for (const service of SERVICES) {
      const answer = await call(client, `/${service}/Version`, signal).catch((error: unknown) => {
        if (isServiceError(error) && error.code === status.UNIMPLEMENTED) return undefined;
        throw error;
      });
      if (answer !== undefined) return parseVersionResponse(answer);
    }
    throw new Error("The container runtime does not offer CRI");
  } finally {
    client.close();
  }
}

/** Reads fields 2 and 3 of VersionResponse (cri-api, api.proto): every field of it is a string. */
export function parseVersionResponse(bytes: Uint8Array): CriVersion {
  const fields = new Map<number, string>();
  let offset = 0;
  const varint = () => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = bytes[offset++];
      if (byte === undefined || shift > 28) throw new Error("Cannot read the runtime's version: message is cut short");
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
  };
  while (offset < bytes.length) {
    const tag = varint();
    const length = varint();
    if (tag % 8 !== 2 || offset + length > bytes.length)
      throw new Error("Cannot read the runtime's version: not a list of strings");
    fields.set(tag >>> 3, new TextDecoder().decode(bytes.subarray(offset, offset + length)));
    offset += length;
  }
  return { runtimeName: fields.get(2) ?? "", runtimeVersion: fields.get(3) ?? "" };
}

function call(client: Client, path: string, signal: AbortSignal): Promise<Buffer> {
  signal.throwIfAborted();
  return new Promise((resolve, reject) => {
    const bytes = (data: Buffer) => data;
    const request = client.makeUnaryRequest(path, bytes, bytes, Buffer.alloc(0), (error, answer) => {
      signal.removeEventListener("abort", cancel);
      if (error === null && answer !== undefined) resolve(answer);
      else reject(error ?? new Error("Cannot read the runtime's version: no answer"));
    });
    const cancel = () => request.cancel();
    signal.addEventListener("abort", cancel, { once: true });
  });
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "code" in error && "details" in error;
}
