import { EventEmitter } from "node:events";
import type { Connection } from "pg";

/** The server asks for a way to log in that the library does not have. */
export class UnknownLogin extends Error {
  override readonly name = "UnknownLogin";
  readonly method: string;

  constructor(method: string, options?: ErrorOptions) {
    super(`The server asks for ${method} to log in`, options);
    this.method = method;
  }
}

// Codes of PostgreSQL's protocol, "Message Formats", that the library does not know.
const METHODS: Readonly<Record<string, string>> = { 2: "Kerberos V5", 6: "SCM credentials", 7: "GSSAPI", 9: "SSPI" };
/** The library's words, thrown where nobody can catch them. */
const UNKNOWN_CODE = /^Unknown authenticationOk message type (?<code>-?\d+)$/;
const SCRAM = "SCRAM-SHA-256";

/** The library's types lack both. */
interface Listening {
  attachListeners: (stream: EventEmitter) => void;
}
interface SaslRequest {
  readonly mechanisms: readonly string[];
}

/**
 * Until the server lets the client in, whatever the library throws at what it says ends the connection, with that or with UnknownLogin.
 * Has to be called before the connection is used.
 */
export function watchLogin(connection: Connection): void {
  let isOver = false;
  connection.once("readyForQuery", () => {
    isOver = true;
  });
  connection.on("authenticationSASL", assertScram);
  const listening = connection as Connection & Listening; // sound: the library calls it for the plain stream and for that of TLS
  const attach = listening.attachListeners.bind(connection);
  listening.attachListeners = (stream) => {
    const words = new EventEmitter();
    attach(words);
    stream.on("data", (bytes: Buffer) => {
      try {
        words.emit("data", bytes);
      } catch (error) {
        if (isOver) throw error;
        connection.stream.destroy(toLoginError(error));
      }
    });
  };
}

function assertScram({ mechanisms }: SaslRequest): void {
  if (!mechanisms.includes(SCRAM)) throw new UnknownLogin(mechanisms.join(", "));
}

function toLoginError(error: unknown): Error {
  if (!(error instanceof Error)) return new Error(String(error));
  const code = UNKNOWN_CODE.exec(error.message)?.groups?.["code"];
  return code === undefined ? error : new UnknownLogin(METHODS[code] ?? `method ${code}`, { cause: error });
}
