// The server behind the balancers: a connection that begins with "S" gets bytes without end, any other an echo.
import { createServer, type AddressInfo, type Socket } from "node:net";

const BLOCK = Buffer.alloc(256 << 10, "s");

function stream(socket: Socket): void {
  const fill = () => {
    while (!socket.destroyed && socket.write(BLOCK));
  };
  socket.on("drain", fill);
  fill();
}

const server = createServer({ noDelay: true }, (socket) => {
  socket.on("error", () => socket.destroy());
  socket.once("data", (first) => {
    if (first[0] === "S".charCodeAt(0)) stream(socket);
    else {
      socket.write(first);
      socket.on("data", (chunk) => socket.write(chunk));
    }
  });
});
server.listen({ port: 0, host: "127.0.0.1", backlog: 2048 }, () =>
  process.send?.((server.address() as AddressInfo).port),
);
