import { status } from "@grpc/grpc-js";
import { deadline } from "@k3s/async";
import { criCall, isServiceError } from "./cri-call.ts";
import { NodeRuntimeError } from "./errors.ts";
import { formatField } from "./protobuf.ts";

/** The largest images over the slowest lines; containerd itself gives up a transfer that stands still. */
const LIMIT_MS = 60 * 60_000;

/**
 * Has the container runtime behind a unix socket pull an image as the kubelet has it done: with its mirrors, certificates and
 * credentials. Rejects with NodeRuntimeError.
 */
export async function pullImage(socket: string, reference: string, signal: AbortSignal): Promise<void> {
  using limit = deadline(LIMIT_MS, `the image ${reference}`, signal);
  try {
    // PullImageRequest has an ImageSpec in field 1, and that the reference in its field 1 (cri-api, api.proto).
    const request = formatField(1, formatField(1, reference));
    await criCall({ socket, method: "ImageService/PullImage", request }, limit);
  } catch (error) {
    signal.throwIfAborted();
    const isUnknown = isServiceError(error) && error.code === status.NOT_FOUND;
    throw isUnknown
      ? NodeRuntimeError.imageUnknown(reference, error)
      : NodeRuntimeError.imageUnreachable(reference, error);
  }
}
