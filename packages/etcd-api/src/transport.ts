import type { Socket } from "node:net";

/** Speaks gRPC over HTTP/2 on the sockets it is given, decrypted if they were encrypted. */
export interface Transport {
  accept(socket: Socket): void;
  /** Takes no new calls, lets running ones end, cuts what is left when `hurry` aborts. */
  close(hurry: AbortSignal): Promise<void>;
}

/** Which implementation carries the API: our own, or @grpc/grpc-js as the way out. */
export type TransportName = "http2" | "grpc-js";

// etcd's own server: 1.5 MiB for a request and 512 KiB for what gRPC adds; pings a silent client every 2 h.
export const RECEIVE_BYTES_MAX = 1_572_864 + 524_288;
export const KEEPALIVE_TIME_MS = 7_200_000;
export const KEEPALIVE_TIMEOUT_MS = 20_000;
