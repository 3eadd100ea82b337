import type { Socket } from "node:net";

/** Something listens where the endpoint points, but it is no MySQL, or one that is stuck. */
export class ForeignServer extends Error {
  override readonly name = "ForeignServer";

  static silent(cause: unknown): ForeignServer {
    return new ForeignServer("The connection was taken, but no greeting of MySQL came", { cause });
  }

  static greeted(cause: unknown): ForeignServer {
    return new ForeignServer("The greeting is not that of MySQL", { cause });
  }
}

/** Versions 9 and 10 of the greeting, and an error in place of it. */
const GREETINGS: ReadonlySet<number | undefined> = new Set([9, 10, 255]);

/** A packet's length and number, and the first byte of what is in it. */
const HEAD_BYTES = 5;

/** Watches what a server says first, which is a packet with the number 0. It may come in pieces. */
export class FirstWord {
  /** Enough came to judge it. */
  isHeard = false;
  isForeign = false;

  constructor(socket: Socket) {
    let head = Buffer.alloc(0);
    const listen = (bytes: Buffer) => {
      head = Buffer.concat([head, bytes.subarray(0, HEAD_BYTES - head.length)]);
      if (head.length < HEAD_BYTES) return;
      socket.off("data", listen);
      this.isHeard = true;
      this.isForeign = head[3] !== 0 || !GREETINGS.has(head[4]);
      if (this.isForeign) socket.destroy(new Error("It does not speak MySQL"));
    };
    socket.on("data", listen);
  }
}
