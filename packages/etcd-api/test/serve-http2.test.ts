import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, constants, type ClientHttp2Session, type ClientHttp2Stream } from "node:http2";
import { createServer, type AddressInfo } from "node:net";
import { describe, test, type TestContext } from "node:test";
import { aborted } from "@k3s/async";
import { until } from "@k3s/testkit";
import { Backlog } from "../src/backlog.ts";
import { messagePrefix } from "../src/grpc-framing.ts";
import { stream, unary, type MessageStream, type Method } from "../src/method.ts";
import { Code, RpcError } from "../src/rpc-error.ts";
import { serveHttp2, type ServeHttp2Options } from "../src/serve-http2.ts";
import { RECEIVE_BYTES_MAX } from "../src/transport.ts";

const framed = (message: Buffer) => Buffer.concat([messagePrefix(message.length), message]);
/** One answer of many that share it. */
const big = Buffer.alloc(64 << 20);
const NO_ROUTES = () => Promise.resolve({ status: 404, contentType: "text/plain", body: "none" });

interface Answer {
  readonly head: Record<string, unknown>;
  readonly trailers: Record<string, unknown>;
  readonly body: Buffer;
}

/** Methods that show what a transport does, and a client of the server that has them. */
class Rig {
  readonly session: ClientHttp2Session;
  /** Messages that `/t.T/Flood` could write. */
  written = 0;
  /** Streams whose signal has aborted. */
  readonly ended: string[] = [];
  readonly release = Promise.withResolvers<void>();

  readonly #port: number;

  private constructor(session: ClientHttp2Session, port: number) {
    this.session = session;
    this.#port = port;
  }

  static async start(
    t: TestContext,
    backlog = new Backlog(512 << 20),
    options: Partial<Pick<ServeHttp2Options, "limits" | "routes">> = {},
  ): Promise<Rig> {
    const methods = new Map<string, Method>();
    const transport = serveHttp2({ methods, routes: NO_ROUTES, backlog, ...options });
    const server = createServer((socket) => transport.accept(socket)).listen(0, "127.0.0.1");
    t.after(async () => {
      server.close();
      await transport.close(AbortSignal.abort());
    });
    await once(server, "listening");
    const rig = await Rig.#connect(t, (server.address() as AddressInfo).port);
    for (const [path, method] of rig.#methods()) methods.set(path, method);
    return rig;
  }

  static async #connect(t: TestContext, port: number): Promise<Rig> {
    const rig = new Rig(connect(`http://127.0.0.1:${port}`), port);
    t.after(() => rig.session.destroy());
    await once(rig.session, "connect");
    rig.session.setLocalWindowSize(8 << 20); // a stream that is not read fills its own window, not that of all
    return rig;
  }

  /** Another client of the same server. */
  another(t: TestContext): Promise<Rig> {
    return Rig.#connect(t, this.#port);
  }

  /** Begins a call; the caller writes the body. */
  open(path: string, headers: Record<string, string> = {}): ClientHttp2Stream {
    const fields = { ":method": "POST", ":path": path, "content-type": "application/grpc", te: "trailers" };
    return this.session.request({ ...fields, ...headers }).on("error", () => undefined);
  }

  /** A whole call with the given body. */
  async call(path: string, body: Buffer, headers: Record<string, string> = {}): Promise<Answer> {
    const call = this.open(path, headers);
    call.end(body);
    return await answerOf(call);
  }

  #methods(): [string, Method][] {
    return [
      unary("/t.T/Echo", (request) => Promise.resolve(request)),
      unary("/t.T/Slow", async (request) => {
        await this.release.promise;
        return request;
      }),
      unary("/t.T/Fail", () => Promise.reject(new RpcError(Code.notFound, " 100 % grün\n"))),
      unary("/t.T/Bug", () => Promise.reject(new Error("secret"))),
      unary("/t.T/Big", () => Promise.resolve(big)),
      unary("/t.T/SlowWrite", async (request, call) => {
        await this.release.promise;
        call.hasChanged();
        return request;
      }),
      stream("/t.T/Echoes", async (call) => {
        for await (const message of call.requests) await call.write(message);
      }),
      stream("/t.T/Wait", (call) => this.#noteEnd("Wait", call)),
      stream("/t.T/Flood", (call) => this.#flood(call)),
      stream("/t.T/FailLate", async (call) => {
        await call.write(Buffer.from("one"));
        throw new RpcError(Code.unavailable, "later");
      }),
    ];
  }

  async #noteEnd(name: string, call: MessageStream): Promise<void> {
    await aborted(call.signal);
    this.ended.push(name);
  }

  async #flood(call: MessageStream): Promise<void> {
    try {
      for (; this.written < 5000; this.written++) await call.write(Buffer.alloc(20_000));
    } catch (error) {
      await this.#noteEnd("Flood", call);
      throw error;
    }
  }
}

async function answerOf(call: ClientHttp2Stream): Promise<Answer> {
  const parts: Buffer[] = [];
  const seen: { head: Record<string, unknown>; trailers: Record<string, unknown> } = { head: {}, trailers: {} };
  call.on("response", (head) => (seen.head = head));
  call.on("trailers", (trailers: Record<string, unknown>) => (seen.trailers = trailers));
  call.on("data", (part: Buffer) => parts.push(part));
  await once(call, "close");
  return { ...seen, body: Buffer.concat(parts) };
}

describe("serveHttp2(): messages", () => {
  test("a unary call has a head, one message and trailers", async (t) => {
    const rig = await Rig.start(t);
    const { head, trailers, body } = await rig.call("/t.T/Echo", framed(Buffer.from("hello")));
    assert.deepEqual([head[":status"], head["content-type"]], [200, "application/grpc"]);
    assert.equal(trailers["grpc-status"], "0");
    assert.deepEqual(body, framed(Buffer.from("hello")));
  });

  test("an empty message is one", async (t) => {
    const rig = await Rig.start(t);
    assert.deepEqual((await rig.call("/t.T/Echo", framed(Buffer.alloc(0)))).body, framed(Buffer.alloc(0)));
  });

  test("a message may come byte by byte", async (t) => {
    const rig = await Rig.start(t);
    const call = rig.open("/t.T/Echo");
    const whole = framed(Buffer.from("in pieces"));
    for (const byte of whole) await new Promise((resolve) => call.write(Buffer.of(byte), resolve));
    call.end();
    assert.deepEqual((await answerOf(call)).body, whole);
  });

  test("several messages may come in one piece", async (t) => {
    const rig = await Rig.start(t);
    const messages = Array.from({ length: 100 }, (_, i) => framed(Buffer.alloc(i * 7, i)));
    assert.deepEqual((await rig.call("/t.T/Echoes", Buffer.concat(messages))).body, Buffer.concat(messages));
  });

  test("the largest message is taken, one byte more is not, and the connection goes on", async (t) => {
    const rig = await Rig.start(t);
    for (const path of ["/t.T/Echo", "/t.T/Echoes"]) {
      const largest = await rig.call(path, framed(Buffer.alloc(RECEIVE_BYTES_MAX)));
      assert.equal(largest.body.length, RECEIVE_BYTES_MAX + 5);
      const { head } = await rig.call(path, framed(Buffer.alloc(RECEIVE_BYTES_MAX + 1)));
      assert.equal(head["grpc-status"], "8");
      assert.match(String(head["grpc-message"]), /larger than max \(2097153 vs. 2097152\)/);
    }
  });

  const broken: readonly (readonly [name: string, path: string, body: Buffer])[] = [
    ["no message", "/t.T/Echo", Buffer.alloc(0)],
    ["half a message", "/t.T/Echo", framed(Buffer.from("hello")).subarray(0, 8)],
    ["half a prefix", "/t.T/Echo", Buffer.alloc(3)],
    ["two messages in a unary call", "/t.T/Echo", Buffer.concat([framed(Buffer.of(1)), framed(Buffer.of(2))])],
    ["half a message in a stream", "/t.T/Echoes", framed(Buffer.from("hello")).subarray(0, 8)],
    ["a compressed message", "/t.T/Echo", Buffer.from([1, 0, 0, 0, 1, 9])],
  ];
  for (const [name, path, body] of broken)
    test(`${name} is an internal error`, async (t) => {
      const rig = await Rig.start(t);
      assert.equal((await rig.call(path, body)).head["grpc-status"], "13");
    });
});

describe("serveHttp2(): statuses", () => {
  test("a failure is one header section, with the text percent-encoded", async (t) => {
    const rig = await Rig.start(t);
    const { head, body, trailers } = await rig.call("/t.T/Fail", framed(Buffer.alloc(0)));
    assert.deepEqual([head[":status"], head["grpc-status"]], [200, "5"]);
    assert.equal(head["grpc-message"], "%20100 %25 gr%C3%BCn%0A");
    assert.deepEqual([body.length, trailers], [0, {}]);
  });

  test("a failure after the first message comes in trailers", async (t) => {
    const rig = await Rig.start(t);
    const { head, body, trailers } = await rig.call("/t.T/FailLate", Buffer.alloc(0));
    assert.deepEqual([head["grpc-status"], body], [undefined, framed(Buffer.from("one"))]);
    assert.deepEqual([trailers["grpc-status"], trailers["grpc-message"]], ["14", "later"]);
  });

  test("a bug tells nothing of itself", async (t) => {
    const rig = await Rig.start(t);
    const { head } = await rig.call("/t.T/Bug", framed(Buffer.alloc(0)));
    assert.deepEqual([head["grpc-status"], head["grpc-message"]], ["2", "unexpected failure"]);
  });

  const unknown: readonly (readonly [path: string, text: string])[] = [
    ["/t.T/Other", "unknown method Other for service t.T"],
    ["/other.Service/Echo", "unknown service other.Service"],
    ["/nonsense", 'malformed method name: "/nonsense"'],
  ];
  for (const [path, text] of unknown)
    test(`${path} is not implemented`, async (t) => {
      const rig = await Rig.start(t);
      const { head } = await rig.call(path, framed(Buffer.alloc(0)));
      assert.deepEqual([head["grpc-status"], head["grpc-message"]], ["12", text]);
    });

  test("an encoding that is not spoken is refused with the one that is", async (t) => {
    const rig = await Rig.start(t);
    const { head } = await rig.call("/t.T/Echo", framed(Buffer.alloc(0)), { "grpc-encoding": "gzip" });
    assert.deepEqual([head["grpc-status"], head["grpc-accept-encoding"]], ["12", "identity"]);
    const identity = await rig.call("/t.T/Echo", framed(Buffer.alloc(0)), { "grpc-encoding": "identity" });
    assert.equal(identity.trailers["grpc-status"], "0");
  });

  for (const type of ["application/grpc+proto", "application/grpc;charset=utf-8"])
    test(`${type} is gRPC`, async (t) => {
      const rig = await Rig.start(t);
      const { trailers } = await rig.call("/t.T/Echo", framed(Buffer.alloc(0)), { "content-type": type });
      assert.equal(trailers["grpc-status"], "0");
    });

  test("application/grpcweb is not", async (t) => {
    const rig = await Rig.start(t);
    const { head, body } = await rig.call("/t.T/Echo", framed(Buffer.alloc(0)), {
      "content-type": "application/grpcweb",
    });
    assert.deepEqual([head[":status"], body.toString()], [404, "none"]);
  });
});

describe("serveHttp2(): ends", () => {
  for (const path of ["/t.T/Slow", "/t.T/Wait"])
    test(`${path} is answered when its time is over`, async (t) => {
      const rig = await Rig.start(t);
      const { head } = await rig.call(path, framed(Buffer.alloc(0)), { "grpc-timeout": "1m" });
      assert.equal(head["grpc-status"], "4");
    });

  test("a call whose time is over counts against the limit of calls until its work ends", async (t) => {
    const rig = await Rig.start(t, undefined, { limits: { streamsMax: 4 } });
    const slow = () => rig.call("/t.T/Slow", framed(Buffer.alloc(0)), { "grpc-timeout": "1m" });
    const answers = await Promise.all(Array.from({ length: 4 }, slow));
    assert.deepEqual(
      answers.map(({ head }) => head["grpc-status"]),
      ["4", "4", "4", "4"],
    );
    const refused = rig.open("/t.T/Echo");
    refused.end(framed(Buffer.alloc(0)));
    await until("it is refused", () => Promise.resolve(refused.rstCode === constants.NGHTTP2_REFUSED_STREAM));
    rig.release.resolve();
    assert.equal((await rig.call("/t.T/Echo", framed(Buffer.alloc(0)))).trailers["grpc-status"], "0");
  });

  test("a call in time is not disturbed, and a timeout that is none is refused", async (t) => {
    const rig = await Rig.start(t);
    const inTime = await rig.call("/t.T/Echo", framed(Buffer.alloc(0)), { "grpc-timeout": "10S" });
    assert.equal(inTime.trailers["grpc-status"], "0");
    const { head } = await rig.call("/t.T/Echo", framed(Buffer.alloc(0)), { "grpc-timeout": "soon" });
    assert.equal(head["grpc-status"], "13");
  });

  test("a stream that its client cancels is aborted, others go on", async (t) => {
    const rig = await Rig.start(t);
    const call = rig.open("/t.T/Wait");
    await rig.call("/t.T/Echo", framed(Buffer.alloc(0)));
    call.close(constants.NGHTTP2_CANCEL);
    await until("the stream is aborted", () => Promise.resolve(rig.ended.length === 1));
    assert.equal((await rig.call("/t.T/Echo", framed(Buffer.alloc(0)))).trailers["grpc-status"], "0");
  });

  test("a lost connection aborts its streams", async (t) => {
    const rig = await Rig.start(t);
    rig.open("/t.T/Wait");
    await rig.call("/t.T/Echo", framed(Buffer.alloc(0)));
    rig.session.destroy();
    await until("the stream is aborted", () => Promise.resolve(rig.ended.length === 1));
  });

  test("a writer waits for a client that does not read, and others do not", async (t) => {
    const rig = await Rig.start(t);
    const call = rig.open("/t.T/Flood");
    await once(call, "response");
    await until("the writer waits", async () => {
      const before = rig.written;
      await rig.call("/t.T/Echo", framed(Buffer.alloc(1000)));
      return before > 0 && rig.written === before;
    });
    assert.ok(rig.written < 20, `wrote ${rig.written} messages ahead`);
    call.resume();
    await until("the writer goes on", () => Promise.resolve(rig.written >= 100));
    call.close(constants.NGHTTP2_CANCEL);
    await until("the writer is told", () => Promise.resolve(rig.ended.includes("Flood")));
  });

  test("a client that asks for more than it reads is refused until it reads", async (t) => {
    const rig = await Rig.start(t);
    const calls = Array.from({ length: 10 }, () => rig.open("/t.T/Big"));
    const heads = calls.map((call) => once(call, "response") as Promise<[Record<string, unknown>]>);
    for (const call of calls) call.end(framed(Buffer.alloc(0)));
    const statuses = (await Promise.all(heads)).map(([head]) => head["grpc-status"]);
    const served = statuses.filter((status) => status === undefined);
    assert.deepEqual([served.length, statuses.slice(4)], [4, Array.from({ length: 6 }, () => "8")]); // 4 prefixes over the limit
    for (const call of calls) call.close(constants.NGHTTP2_CANCEL);
    assert.equal((await rig.call("/t.T/Echo", framed(Buffer.alloc(0)))).trailers["grpc-status"], "0");
  });

  test("plain answers count as well", async (t) => {
    const text = "x".repeat(200_000);
    const routes = () => Promise.resolve({ status: 200, contentType: "text/plain", body: text });
    const rig = await Rig.start(t, new Backlog(4 << 20), { routes });
    const calls = Array.from({ length: 100 }, () => rig.session.request({ ":path": "/metrics" }));
    const heads = await Promise.all(calls.map((call) => once(call, "response") as Promise<[Record<string, unknown>]>));
    const served = heads.filter(([head]) => head[":status"] === 200).length;
    assert.ok(served >= 10 && served <= 20, `${served} of 200 kB were served with room for 2 MiB`);
    assert.ok(heads.every(([head]) => head[":status"] === 200 || head[":status"] === 503));
    for (const call of calls) call.close(constants.NGHTTP2_CANCEL);
  });

  test("what was changed is told however much the client has not read", async (t) => {
    const rig = await Rig.start(t, new Backlog(190 << 20)); // a client may leave half of it unread: one large answer, not two
    const ask = (path: string) => {
      const call = rig.open(path);
      call.end(framed(Buffer.alloc(0)));
      return call;
    };
    const [write, read] = [ask("/t.T/SlowWrite"), ask("/t.T/Slow")];
    await rig.call("/t.T/Echo", framed(Buffer.alloc(0))); // both have begun
    const unread = [ask("/t.T/Big"), ask("/t.T/Big")];
    await Promise.all(unread.map((call) => once(call, "response")));
    rig.release.resolve();
    const heads = await Promise.all([write, read].map((call) => once(call, "response")));
    const statuses = heads.map(([head]) => (head as Record<string, unknown>)["grpc-status"]);
    assert.deepEqual(statuses, [undefined, "8"]);
    for (const call of unread) call.close(constants.NGHTTP2_CANCEL);
  });

  test("all clients share the memory for answers that are not read; who reads goes on", async (t) => {
    const rig = await Rig.start(t, new Backlog(190 << 20)); // nearly three large answers
    const clients = [await rig.another(t), await rig.another(t), await rig.another(t)];
    const ask = async (client: Rig) => {
      const call = client.open("/t.T/Big");
      const head = once(call, "response") as Promise<[Record<string, unknown>]>;
      call.end(framed(Buffer.alloc(0)));
      return (await head)[0]["grpc-status"];
    };
    const first = [];
    for (const client of clients) first.push(await ask(client));
    assert.deepEqual(first, [undefined, undefined, undefined]);
    for (const client of clients) assert.equal(await ask(client), "8");
    assert.equal((await rig.call("/t.T/Echo", framed(Buffer.alloc(9)))).body.length, 14);
    for (const { session } of clients) session.destroy();
    await until("the memory is free", async () => (await ask(await rig.another(t))) === undefined);
    assert.equal(await ask(await rig.another(t)), undefined);
  });

  test("an answer to a call that is gone goes nowhere", async (t) => {
    const rig = await Rig.start(t);
    const call = rig.open("/t.T/Slow");
    call.end(framed(Buffer.alloc(0)));
    await rig.call("/t.T/Echo", framed(Buffer.alloc(0)));
    call.close(constants.NGHTTP2_CANCEL);
    await rig.call("/t.T/Echo", framed(Buffer.alloc(0)));
    rig.release.resolve();
    assert.equal((await rig.call("/t.T/Echo", framed(Buffer.alloc(0)))).trailers["grpc-status"], "0");
  });
});
