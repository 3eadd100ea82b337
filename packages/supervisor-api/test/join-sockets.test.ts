import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { Duplex } from "node:stream";
import { describe, test, type TestContext } from "node:test";
import { joinSockets } from "../src/join-sockets.ts";

/** As a stream of the tunnel: no socket, and it sends nothing while its peer has asked for silence. */
class Paused extends Duplex {
  readonly sent: string[] = [];
  readonly began = Promise.withResolvers<void>();
  readonly #resumed = Promise.withResolvers<void>();

  constructor() {
    super({ allowHalfOpen: false });
    this.push("unread");
  }

  /** The peer lets it send again. */
  go(): void {
    this.#resumed.resolve();
  }

  override _read(): void {
    // the peer has nothing more to say
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    this.began.resolve();
    void this.#resumed.promise.then(() => {
      this.sent.push(chunk.toString());
      done();
    });
  }

  override _final(done: () => void): void {
    this.push(null);
    done();
  }
}

describe("joinSockets", () => {
  test("lets what was written go out after the other side has closed, and then closes", async (t) => {
    const { socket, client } = await socketPair(t);
    const paused = new Paused();
    t.after(() => paused.destroy());
    joinSockets({ socket, early: Buffer.from("early ") }, { socket: paused, early: Buffer.alloc(0) });
    client.write("and late");
    await paused.began.promise;
    await once(socket, "data");
    const closed = once(paused, "close");
    socket.destroy();
    await once(socket, "close");
    paused.go();
    await closed;
    assert.equal(paused.sent.join(""), "early and late");
  });
});

/** Both ends of a connection over the loopback. */
async function socketPair(t: TestContext): Promise<{ readonly socket: Socket; readonly client: Socket }> {
  const server = createServer({ pauseOnConnect: true }).listen(0, "127.0.0.1");
  t.after(() => server.close());
  await once(server, "listening");
  const client = connect((server.address() as AddressInfo).port, "127.0.0.1");
  t.after(() => client.destroy());
  client.on("error", () => undefined);
  const [socket] = (await once(server, "connection")) as [Socket];
  t.after(() => socket.destroy());
  return { socket, client };
}
