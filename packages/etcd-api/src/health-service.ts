import { addAbortListener } from "node:events";
import { decodeHealthCheck, encodeHealth, ServingStatus } from "./messages/health.ts";
import { stream, unary, type MessageStream, type Method } from "./method.ts";
import { Code, RpcError } from "./rpc-error.ts";
import type { ServiceContext } from "./service-context.ts";

/** The server as a whole, and the services whose health is the same thing. */
const KNOWN_SERVICES: ReadonlySet<string> = new Set([
  "",
  "etcdserverpb.KV",
  "etcdserverpb.Watch",
  "etcdserverpb.Lease",
  "etcdserverpb.Maintenance",
  "etcdserverpb.Cluster",
]);

/** grpc.health.v1.Health. */
export function healthService({ signal }: ServiceContext): [string, Method][] {
  const current = () => (signal.aborted ? ServingStatus.notServing : ServingStatus.serving);

  const check = (bytes: Buffer) => {
    if (!KNOWN_SERVICES.has(decodeHealthCheck(bytes))) throw new RpcError(Code.notFound, "unknown service");
    return encodeHealth(current());
  };
  const watch = async (call: MessageStream) => {
    for await (const bytes of call.requests) {
      const known = KNOWN_SERVICES.has(decodeHealthCheck(bytes));
      await call.write(encodeHealth(known ? current() : ServingStatus.serviceUnknown));
      await firstAborted(signal, call.signal);
      if (!call.signal.aborted && known) await call.write(encodeHealth(ServingStatus.notServing));
      return;
    }
  };
  return [
    unary("/grpc.health.v1.Health/Check", async (bytes) => Promise.resolve(check(bytes))),
    stream("/grpc.health.v1.Health/Watch", watch),
  ];
}

/** Leaves nothing behind on the other one, which may live as long as the server: AbortSignal.any() does, on each call. */
async function firstAborted(one: AbortSignal, other: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  using _one = addAbortListener(one, () => resolve());
  using _other = addAbortListener(other, () => resolve());
  await promise;
}
