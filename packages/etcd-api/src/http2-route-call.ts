import { HeaderList, type RequestHead, type ServerStream, type StreamListener } from "@k3s/http2";
import type { Backlog } from "./backlog.ts";
import type { HttpRoutes } from "./http-routes.ts";

export interface RouteContext {
  readonly routes: HttpRoutes;
  /** A client that does not read its answers is refused more of them. */
  readonly backlog: Backlog;
}

const UNREAD = new HeaderList([[":status", "503"]], { isConstant: true });

/** Answers a request that is not gRPC, as `curl` sends it to a TLS port. Its body is passed over. */
export function answerRoute(
  stream: ServerStream,
  head: RequestHead,
  { routes, backlog }: RouteContext,
): StreamListener {
  const isRefused = () => {
    if (backlog.hasRoomBehind(stream.backlogBytes)) return false;
    stream.sendHead(UNREAD);
    stream.end();
    return true;
  };
  if (isRefused()) return passOver(stream);
  const answered = routes(head.method, head.path).then(({ status, contentType, body }) => {
    if (isRefused()) return; // it grew meanwhile
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
    aborted: () => undefined,
    work,
  };
}
