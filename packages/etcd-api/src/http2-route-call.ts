import { HeaderList, type RequestHead, type ServerStream, type StreamListener } from "@k3s/http2";
import type { HttpRoutes } from "./http-routes.ts";

/** Answers a request that is not gRPC, as `curl` sends it to a TLS port. Its body is passed over. */
export function answerRoute(stream: ServerStream, head: RequestHead, routes: HttpRoutes): StreamListener {
  const answered = routes(head.method, head.path).then(({ status, contentType, body }) => {
    const bytes = Buffer.from(body, "utf8");
    stream.sendHead(
      new HeaderList([
        [":status", String(status)],
        ["content-type", contentType],
        ["content-length", String(bytes.length)],
      ]),
    );
    if (head.method !== "HEAD") stream.sendData(bytes);
    stream.end();
  });
  return passOver(stream, answered);
}

/** Reads a request's body without looking at it. */
export function passOver(stream: ServerStream, work?: Promise<unknown>): StreamListener {
  return {
    data: (bytes) => stream.credit(bytes.length),
    end: () => undefined,
    drained: () => undefined,
    aborted: () => work,
  };
}
