import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";

/**
 * Closes a connection by RST, so that nobody takes what it carried for whole. A socket whose end is just on its way is closed by that end
 * instead: everything before it was delivered, libuv refuses to reset it (EINVAL), and Node would forget its file descriptor without closing it.
 * Node resets no TLS socket either (ERR_INVALID_HANDLE_TYPE), only a way to a proxy is one: what it carries is TLS of its own, which shows its end.
 */
export function resetSocket(socket: Socket): void {
  const isEnding = socket.writableEnded && !socket.writableFinished && socket.writableLength === 0;
  if (isEnding || socket instanceof TLSSocket) socket.destroy();
  else socket.resetAndDestroy();
}
