import { decodeInto } from "../proto/proto-reader.ts";
import { encode } from "../proto/proto-writer.ts";

/** HealthCheckResponse.ServingStatus of grpc.health.v1. */
export const ServingStatus = { serving: 1, notServing: 2, serviceUnknown: 3 } as const;

/** The service name of a grpc.health.v1.HealthCheckRequest; empty for the server as a whole. */
export function decodeHealthCheck(bytes: Buffer): string {
  return decodeInto({ service: "" }, bytes, { 1: (m, r) => (m.service = r.string()) }).service;
}

export function encodeHealth(status: number): Buffer {
  return encode((writer) => writer.int64(1, status));
}
