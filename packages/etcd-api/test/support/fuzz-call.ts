import { once } from "node:events";
import { connect as connectHttp2, type ClientHttp2Session } from "node:http2";
import { connect } from "node:net";
import type { TestContext } from "node:test";

const PATIENCE_MS = 20_000;

/** How a call with any bytes in it ended. */
export interface Outcome {
  /** gRPC status; undefined when an answer came and the call went on. */
  readonly status: number | undefined;
  readonly message: string;
}

/** Calls of a server by bytes that no gRPC library would send. */
export class FuzzClient {
  readonly #session: ClientHttp2Session;

  private constructor(session: ClientHttp2Session) {
    this.#session = session;
  }

  /** One connection, until the test ends. */
  static async connect(t: TestContext, socketPath: string): Promise<FuzzClient> {
    const session = connectHttp2("http://localhost", { createConnection: () => connect(socketPath) });
    session.on("error", () => undefined); // told by the calls
    t.after(() => session.destroy());
    await once(session, "connect");
    return new FuzzClient(session);
  }

  /** Sends `body` as it is, and resolves with the first answer or the status. Rejects when neither comes. */
  async call(path: string, body: Buffer): Promise<Outcome> {
    const head = { ":method": "POST", ":path": path, "content-type": "application/grpc", te: "trailers" };
    const stream = this.#session.request(head);
    const { promise, resolve, reject } = Promise.withResolvers<Outcome>();
    const note = (fields: Record<string, unknown>) => {
      if (fields["grpc-status"] !== undefined)
        resolve({ status: Number(fields["grpc-status"]), message: String(fields["grpc-message"]) });
    };
    stream.setTimeout(PATIENCE_MS, () => reject(new Error(`Cannot end call of ${path}: no answer`)));
    stream.on("response", note).on("trailers", note).on("error", reject);
    stream.once("data", () => resolve({ status: undefined, message: "" }));
    stream.on("close", () => reject(new Error(`Cannot end call of ${path}: closed without status, ${stream.rstCode}`)));
    stream.end(body);
    try {
      return await promise;
    } finally {
      stream.on("error", () => undefined);
      stream.close();
    }
  }
}
