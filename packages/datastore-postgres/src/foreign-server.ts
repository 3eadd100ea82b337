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
const HEAD_BYTES = 5;

/**
 * Fails with ForeignServer before anybody reads what a stranger says: the library's parser throws at some of it where nobody can catch.
 * What came in pieces is judged with each of them; the first byte cannot be held back, as it may be the whole answer about TLS.
 */
export class PostgresSocket extends Socket {
  #head = Buffer.alloc(0);

  override push(chunk: unknown, encoding?: BufferEncoding): boolean {
    if (chunk instanceof Buffer && this.#head.length < HEAD_BYTES) {
      this.#head = Buffer.concat([this.#head, chunk.subarray(0, HEAD_BYTES - this.#head.length)]);
      if (!isPostgres(this.#head)) {
        this.destroy(new ForeignServer());
        return false;
      }
    }
    return super.push(chunk, encoding);
  }
}

function isPostgres(bytes: Buffer): boolean {
  return FIRST_BYTES.has(bytes[0]) && !MYSQL_GREETING.test(bytes.toString("latin1"));
}
