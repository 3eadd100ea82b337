import { aborted, repeat } from "@k3s/async";
import { stream, type MessageStream, type Method } from "./method.ts";
import { Outbox } from "./outbox.ts";
import { RpcError } from "./rpc-error.ts";
import type { ServiceContext } from "./service-context.ts";
import { WatchStream } from "./watch-stream.ts";

/** etcdserverpb.Watch. */
export function watchService(context: ServiceContext): [string, Method][] {
  return [stream("/etcdserverpb.Watch/Watch", (call) => serveWatch(context, call))];
}

/** Lives until the client is gone, falls too far behind, or the server stops; the client's last request ends nothing. */
async function serveWatch(context: ServiceContext, call: MessageStream): Promise<void> {
  const outbox = new Outbox(context.watchBacklogBytes, context.backlog);
  const watches = new WatchStream(context, outbox);
  const done = new AbortController();
  const stop = () => outbox.fail(RpcError.stopped());
  if (context.signal.aborted) stop();
  context.signal.addEventListener("abort", stop, { once: true });
  try {
    await Promise.race([
      Promise.all([
        send(outbox, call),
        receive(watches, call),
        repeat(context.progressIntervalMs, () => watches.reportProgress(), done.signal),
      ]),
      outbox.failed,
      aborted(call.signal),
    ]);
  } finally {
    context.signal.removeEventListener("abort", stop);
    watches.close();
    done.abort();
    outbox.fail(RpcError.stopped());
  }
}

async function send(outbox: Outbox, call: MessageStream): Promise<never> {
  for (;;) await call.write(await outbox.take());
}

async function receive(watches: WatchStream, call: MessageStream): Promise<void> {
  for await (const request of call.requests) watches.receive(request);
}
