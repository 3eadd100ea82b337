import { Client, credentials, Metadata } from "@grpc/grpc-js";

interface UnaryCall {
  readonly socket: string;
  /** As `/package.Service/Method`. */
  readonly method: string;
  readonly request: Uint8Array;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Asks a gRPC server behind a unix socket. Rejects with ServiceError, or with the reason of `signal` when it has aborted already. */
export async function unaryCall(
  { socket, method, request, headers = {} }: UnaryCall,
  signal: AbortSignal,
): Promise<Buffer> {
  signal.throwIfAborted();
  const client = new Client(`unix://${socket}`, credentials.createInsecure());
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  const bytes = (data: Buffer) => data;
  let cancel = () => undefined as void;
  try {
    return await new Promise((resolve, reject) => {
      const message = Buffer.from(request);
      const call = client.makeUnaryRequest(method, bytes, bytes, message, metadata, (error, answer) => {
        if (error === null && answer !== undefined) resolve(answer);
        else reject(error ?? new Error(`Cannot call ${method}: there is no answer`));
      });
      cancel = () => call.cancel();
      signal.addEventListener("abort", cancel, { once: true });
    });
  } finally {
    signal.removeEventListener("abort", cancel);
    client.close();
  }
}
