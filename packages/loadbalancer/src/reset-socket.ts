import type { Socket } from "node:net";

/**
 * Closes a connection by RST, so that nobody takes what it carried for whole. A socket whose end is just on its way is closed by that end
 * instead: everything before it was delivered, libuv refuses to reset it (EINVAL), and Node would forget its file descriptor without closing it.
 */
export function resetSocket(socket: Socket): void {
  const isEnding = socket.writableEnded && !socket.writableFinished && socket.writableLength === 0;
  if (isEnding) socket.destroy();
  else socket.resetAndDestroy();
}
