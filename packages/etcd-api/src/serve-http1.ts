import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { deadline } from "@k3s/async";
import type { HttpRoutes } from "./http-routes.ts";
import type { Transport } from "./transport.ts";

/** One request and its answer: everything a connection is for. */
const CONNECTION_MS = 30_000;

/** Answers plain HTTP/1.1 on sockets of the same port: one request each, within half a minute. */
export function serveHttp1(routes: HttpRoutes): Transport {
  const server = createServer((request, response) => void answer(routes, request, response));
  const sockets = new Set<Socket>();
  const accept = (socket: Socket) => {
    const limit = deadline(CONNECTION_MS, "Answering an HTTP request");
    limit.addEventListener("abort", () => socket.destroy(), { once: true });
    sockets.add(socket);
    socket.once("close", () => {
      limit[Symbol.dispose]();
      sockets.delete(socket);
    });
    server.emit("connection", socket);
    socket.resume(); // it was paused when its first bytes were put back
  };
  const close = () => {
    for (const socket of sockets) socket.destroy();
    return Promise.resolve();
  };
  return { accept, close };
}

async function answer(routes: HttpRoutes, request: IncomingMessage, response: ServerResponse): Promise<void> {
  request.resume();
  const { status, contentType, body } = await routes(request.method ?? "", request.url ?? "/");
  response.writeHead(status, {
    "content-type": contentType,
    "content-length": Buffer.byteLength(body),
    connection: "close",
  });
  response.end(request.method === "HEAD" ? undefined : body);
}
