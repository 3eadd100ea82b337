import { Socket } from "node:net";

/** Something listens where the endpoint points, but it is no PostgreSQL. */
export class ForeignServer extends Error {
  override readonly name = "ForeignServer";

  constructor() {
    super("What listens there does not speak PostgreSQL's protocol");
  }
}

/** Yes and no to TLS; authentication, error, notice and version. */
const FIRST_BYTES: ReadonlySet<unknown> = new Set(Buffer.from("SNREv"));
/** Zeroes between length and version; in a message of PostgreSQL the whole length would stand there. */
const MYSQL_GREETING = /^[^][\0]{3}[\x09\x0a]/;

/** Fails with ForeignServer before anybody reads what a stranger says: the library's parser throws at some of it where nobody can catch. */
export class PostgresSocket extends Socket {
  #hasRead = false;

  override push(chunk: unknown, encoding?: BufferEncoding): boolean {
    const isForeign = !this.#hasRead && chunk instanceof Buffer && !isPostgres(chunk);
    this.#hasRead = true;
    if (!isForeign) return super.push(chunk, encoding);
    this.destroy(new ForeignServer());
    return false;
  }
}

function isPostgres(bytes: Buffer): boolean {
  return FIRST_BYTES.has(bytes[0]) && !MYSQL_GREETING.test(bytes.toString("latin1", 0, 5));
}
