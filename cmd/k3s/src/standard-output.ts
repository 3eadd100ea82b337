import { fstatSync, writeFileSync } from "node:fs";
import type { Writable } from "node:stream";
import { isatty } from "node:tty";
import { OutputError } from "./errors.ts";

/** What a pipe or socket says that nobody reads from any more. */
const GONE = ["EPIPE", "ECONNRESET"];

/** Where the process writes what it was asked for. */
export class StandardOutput {
  readonly #stream: Writable;
  readonly #file: number | undefined;
  #isDiscarded = false;

  /** `file`: its descriptor, where the stream leads to one. */
  constructor(stream: Writable, file: number | undefined) {
    this.#stream = stream;
    this.#file = file;
  }

  /** Of a stream of the process. */
  static of(stream: Writable & { readonly fd: number }): StandardOutput {
    return new StandardOutput(stream, isFile(stream.fd) ? stream.fd : undefined);
  }

  /** Throws OutputError where this is a file that cannot take the text. */
  write(text: string): void {
    if (this.#file === undefined) {
      this.#stream.write(text);
      return;
    }
    try {
      // Node's stream for a file takes it for written when only the first part of it finds room on the disk.
      writeFileSync(this.#file, text);
    } catch (error) {
      throw OutputError.notWritten(error);
    }
  }

  /** Resolves once the reader has taken everything, or is gone, and at once after {@link discard}. Rejects with OutputError when it cannot get it. */
  async written(): Promise<void> {
    if (this.#file !== undefined || this.#isDiscarded) return;
    await flushed(this.#stream);
    const { errored } = this.#stream;
    if (errored !== null && !isGone(errored)) throw OutputError.notWritten(errored);
  }

  /** Gives up what the reader has not taken. Node does not let stdout be destroyed. */
  discard(): void {
    this.#isDiscarded = true;
  }
}

/** Resolves once everything that was written to the stream has been taken, or never will be. */
export function flushed(stream: Writable): Promise<void> {
  return new Promise((resolve) => {
    stream.write("", () => resolve());
  });
}

function isGone(error: Error): boolean {
  return "code" in error && GONE.includes(String(error.code));
}

/** A device such as /dev/full is written as a file is. */
function isFile(fd: number): boolean {
  const found = fstatSync(fd);
  return found.isFile() || (found.isCharacterDevice() && !isatty(fd));
}
