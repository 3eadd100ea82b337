// What a node reaches for the server: sends or takes as many bytes as the first line of a connection says.
import { once } from "node:events";
import { createServer, type AddressInfo, type Socket } from "node:net";
import { Readable } from "node:stream";

const CHUNK = Buffer.alloc(64 * 1024, "k");

function* bytes(count: number): Generator<Buffer> {
  for (let left = count; left > 0; left -= CHUNK.length) yield left < CHUNK.length ? CHUNK.subarray(0, left) : CHUNK;
}

function serve(socket: Socket): void {
  socket.on("error", () => undefined);
  socket.once("data", (first: Buffer) => {
    const end = first.indexOf("\n");
    const [what, count] = first.toString("utf8", 0, end).split(" ");
    if (what === "send") {
      Readable.from(bytes(Number(count))).pipe(socket);
      return;
    }
    let left = Number(count) - (first.length - end - 1);
    socket.on("data", (chunk: Buffer) => {
      left -= chunk.length;
      if (left === 0) socket.write("taken");
    });
  });
}

const server = createServer({ noDelay: true }, serve).listen(0, "127.0.0.1");
await once(server, "listening");
process.once("disconnect", () => process.exit());
process.send?.((server.address() as AddressInfo).port);
