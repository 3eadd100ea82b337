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

/** Watches what a server says first, which is a packet with the number 0. */
export class FirstWord {
  isHeard = false;
  isForeign = false;

  constructor(socket: Socket) {
    socket.once("data", (bytes: Buffer) => {
      this.isHeard = true;
      this.isForeign = bytes.length > 4 && (bytes[3] !== 0 || !GREETINGS.has(bytes[4]));
      if (this.isForeign) socket.destroy(new Error("It does not speak MySQL"));
    });
  }
}
