import { once } from "node:events";
import { connect as connectHttp2, type ClientHttp2Session } from "node:http2";
import { request as requestHttps, type RequestOptions } from "node:https";
import type { ClientRequest, IncomingMessage } from "node:http";
import type { TestContext } from "node:test";
import { connect as connectTls, type TLSSocket } from "node:tls";
import type { Pair, TestPki } from "./test-pki.ts";

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly text: string;
}

export interface Ask {
  readonly path: string;
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string | readonly string[]>>;
  readonly body?: string | Buffer;
  /** Client certificate. */
  readonly as?: Pair;
}

type Http2Head = Record<string, string> & { ":status": number };

export type Protocol = "http/1.1" | "h2";
export const protocols: readonly Protocol[] = ["http/1.1", "h2"];

/** Asks over one fresh connection. */
export class Client {
  readonly #port: number;
  readonly #ca: string;
  readonly #localAddress: string;

  /** `localAddress` is where it comes from. */
  constructor(pki: TestPki, port: number, localAddress = "127.0.0.1") {
    this.#port = port;
    this.#ca = pki.caOf("server-ca");
    this.#localAddress = localAddress;
  }

  ask(protocol: Protocol, ask: Ask): Promise<Answer> {
    return protocol === "h2" ? this.#askHttp2(ask) : this.#askHttp1(ask);
  }

  /** A request whose answer the test reads itself. */
  http1({ path, as, ...ask }: Ask, options: RequestOptions = {}): ClientRequest {
    const headers = Object.fromEntries(
      Object.entries(ask.headers ?? {}).map(([name, value]) => [name, typeof value === "string" ? value : [...value]]),
    );
    return requestHttps({
      host: "127.0.0.1",
      port: this.#port,
      path,
      method: ask.method ?? "GET",
      headers,
      ca: this.#ca,
      ...as,
      servername: "",
      agent: false,
      localAddress: this.#localAddress,
      ...options,
    });
  }

  http2(t: Pick<TestContext, "after">, as?: Pair): ClientHttp2Session {
    const session = this.#session(as);
    t.after(() => session.destroy());
    session.on("error", () => undefined);
    return session;
  }

  async tls(t: Pick<TestContext, "after">, as?: Pair, servername?: string): Promise<TLSSocket> {
    const socket = connectTls({
      host: "127.0.0.1",
      port: this.#port,
      ca: this.#ca,
      ...as,
      ALPNProtocols: ["http/1.1"],
      ...(servername === undefined ? {} : { servername, rejectUnauthorized: false }),
    });
    t.after(() => socket.destroy());
    socket.on("error", () => undefined);
    await once(socket, "secureConnect");
    return socket;
  }

  #session(as: Pair | undefined): ClientHttp2Session {
    const options = { ca: this.#ca, localAddress: this.#localAddress, ...as };
    return connectHttp2(`https://127.0.0.1:${this.#port}`, options);
  }

  async #askHttp1(ask: Ask): Promise<Answer> {
    const request = this.http1(ask);
    request.end(ask.body);
    const [response] = (await once(request, "response")) as [IncomingMessage];
    return { status: response.statusCode ?? 0, headers: response.headers, text: await textOf(response) };
  }

  async #askHttp2({ path, method = "GET", headers = {}, body, as }: Ask): Promise<Answer> {
    const session = this.#session(as);
    try {
      const stream = session.request({ ":path": path, ":method": method, ...headers });
      stream.end(body);
      const gone = once(stream, "close").then(() => Promise.reject(new Error("closed without an answer")));
      const [answer] = (await Promise.race([once(stream, "response"), gone])) as [Http2Head];
      gone.catch(() => undefined); // it closes after the answer as well
      return { status: answer[":status"], headers: answer, text: await textOf(stream) };
    } finally {
      session.close();
    }
  }
}

export async function textOf(stream: AsyncIterable<unknown>): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks).toString("utf8");
}
