import { status, type ServiceError } from "@grpc/grpc-js";
import { unaryCall } from "./unary-call.ts";

/** Newest first: containerd before 1.6 has the second only, containerd from 2.0 on the first only. */
const VERSIONS = ["runtime.v1", "runtime.v1alpha2"] as const;

interface CriCall {
  readonly socket: string;
  /** As `RuntimeService/Version`. */
  readonly method: string;
  readonly request: Uint8Array;
}

/** Asks the container runtime behind a unix socket through the CRI that it has. Rejects with ServiceError while it does not answer. */
export async function criCall({ socket, method, request }: CriCall, signal: AbortSignal): Promise<Buffer> {
  for (const version of VERSIONS)
    try {
      return await unaryCall({ socket, method: `/${version}.${method}`, request }, signal);
    } catch (error) {
      if (!isServiceError(error) || error.code !== status.UNIMPLEMENTED) throw error;
    }
  throw new Error("The container runtime does not offer CRI");
}

/** Whether a gRPC server has answered with an error, or could not be reached. */
export function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "code" in error && "details" in error;
}
