const LINE_FEED = 0x0a;
const CARRIAGE_RETURN = 0x0d;

/** Cuts a byte stream into lines. Holds at most `limitBytes` of an unfinished line; what a line has beyond is counted. */
export class LineSplitter {
  readonly #limitBytes: number;
  #parts: Buffer[] = [];
  #keptBytes = 0;
  #cutBytes = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /** The lines that `chunk` completes, without their line feeds. Bytes that are not UTF-8 become U+FFFD. */
  push(chunk: Buffer): string[] {
    const lines: string[] = [];
    let start = 0;
    for (let end = chunk.indexOf(LINE_FEED); end >= 0; end = chunk.indexOf(LINE_FEED, start)) {
      this.#keep(chunk.subarray(start, end));
      lines.push(this.#take());
      start = end + 1;
    }
    // A copy: a view would hold the whole chunk in memory for as long as the line is unfinished.
    this.#keep(Buffer.from(chunk.subarray(start)));
    return lines;
  }

  /** The last line when the stream ended without a line feed. */
  end(): string | undefined {
    return this.#keptBytes + this.#cutBytes > 0 ? this.#take() : undefined;
  }

  #keep(bytes: Buffer): void {
    const kept = bytes.subarray(0, this.#limitBytes - this.#keptBytes);
    if (kept.length > 0) this.#parts.push(kept);
    this.#keptBytes += kept.length;
    this.#cutBytes += bytes.length - kept.length;
  }

  #take(): string {
    const bytes = Buffer.concat(this.#parts);
    const end = bytes.at(-1) === CARRIAGE_RETURN ? bytes.length - 1 : bytes.length;
    const cut = this.#cutBytes > 0 ? `… (${this.#cutBytes} more bytes)` : "";
    this.#parts = [];
    this.#keptBytes = 0;
    this.#cutBytes = 0;
    return bytes.toString("utf8", 0, end) + cut;
  }
}
