import { createHash } from "node:crypto";
import { open, type FileHandle } from "node:fs/promises";
import { pipeline, Readable } from "node:stream";
import { createZstdDecompress, zstdDecompressSync } from "node:zlib";
import { PayloadError } from "./errors.ts";
import { FOOTER_BYTES, parseFooter } from "./footer.ts";
import { isPayloadIndex, type IndexBlock, type IndexMember, type PayloadIndex } from "./payload-index.ts";

const CHUNK_BYTES = 1 << 20;

/** Takes the content of one file; has to read it to its end. */
export type MemberSink = (name: string, content: AsyncIterable<Buffer>) => Promise<void>;

export interface ExtractOptions {
  /** The files that are wanted; what comes after the last of them is not read. Undefined: all. */
  readonly names?: ReadonlySet<string>;
  readonly signal?: AbortSignal | undefined;
}

/** The files at the end of an executable, which is open until it is disposed of. */
export class Payload implements AsyncDisposable {
  readonly #file: FileHandle;
  readonly #index: PayloadIndex;
  /** The executable, for messages. */
  readonly path: string;

  private constructor(path: string, file: FileHandle, index: PayloadIndex) {
    this.path = path;
    this.#file = file;
    this.#index = index;
  }

  /** Opens an executable and reads the list of its files; `name` stands for it in messages. Rejects with PayloadError. */
  static async open(path: string, name: string = path): Promise<Payload> {
    const file = await open(path, "r");
    try {
      return new Payload(name, file, await readIndex(file, name));
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  get info(): PayloadIndex["info"] {
    return this.#index.info;
  }

  /** The whole content of one file; undefined when there is none of that name. For small ones. */
  async read(name: string): Promise<Buffer | undefined> {
    let found: Buffer | undefined;
    const sink: MemberSink = async (_name, content) => {
      found = Buffer.concat(await Array.fromAsync(content));
    };
    await this.extract(sink, { names: new Set([name]) });
    return found;
  }

  /**
   * Gives files to `sink`, one after the other. Rejects with PayloadError when they are damaged; where only some are wanted, damage
   * shows only in what cannot be decompressed.
   */
  async extract(sink: MemberSink, { names, signal }: ExtractOptions = {}): Promise<void> {
    const isWanted = ({ name }: IndexMember) => names === undefined || names.has(name);
    for (const block of this.#index.blocks) {
      const end = block.members.findLastIndex(isWanted) + 1;
      if (end === 0) continue;
      const content = new Cutter(this.#unpacked(block, signal), this.path);
      for (const member of block.members.slice(0, end)) {
        const piece = content.next(member.size);
        if (isWanted(member)) await sink(member.name, piece);
        else for await (const _ of piece);
      }
      if (end === block.members.length) await content.expectEnd();
      else await content.stop();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }

  async *#unpacked(block: IndexBlock, signal?: AbortSignal): AsyncGenerator<Buffer, undefined> {
    const decoder = createZstdDecompress({ chunkSize: CHUNK_BYTES });
    pipeline(Readable.from(this.#packed(block)), decoder, () => undefined); // whoever reads the decoder is told
    try {
      for await (const chunk of decoder) {
        signal?.throwIfAborted();
        yield chunk as Buffer;
      }
    } catch (error) {
      signal?.throwIfAborted();
      throw PayloadError.damaged(this.path, "it cannot be decompressed", error);
    } finally {
      decoder.destroy();
    }
  }

  async *#packed({ offset, length }: IndexBlock): AsyncGenerator<Buffer> {
    for (let done = 0; done < length;) {
      const chunk = await readAt(this.#file, offset + done, Math.min(CHUNK_BYTES, length - done));
      if (chunk.length === 0) return; // the decoder misses the rest
      done += chunk.length;
      yield chunk;
    }
  }
}

/** Cuts a stream into pieces of known sizes. */
class Cutter {
  readonly #chunks: AsyncIterator<Buffer, undefined>;
  readonly #path: string;
  #rest: Buffer = Buffer.alloc(0);

  constructor(chunks: AsyncIterator<Buffer, undefined>, path: string) {
    this.#chunks = chunks;
    this.#path = path;
  }

  async *next(size: number): AsyncGenerator<Buffer> {
    for (let left = size; left > 0;) {
      if (this.#rest.length === 0) {
        const next = await this.#chunks.next();
        if (next.done === true) throw PayloadError.damaged(this.#path, "it ends too early");
        this.#rest = next.value;
      }
      const piece = this.#rest.subarray(0, left);
      this.#rest = this.#rest.subarray(piece.length);
      left -= piece.length;
      yield piece;
    }
  }

  /** Leaves the rest unread. */
  async stop(): Promise<void> {
    await this.#chunks.return?.();
  }

  async expectEnd(): Promise<void> {
    if (this.#rest.length > 0 || (await this.#chunks.next()).done !== true)
      throw PayloadError.damaged(this.#path, "there is more than its list says");
  }
}

async function readIndex(file: FileHandle, path: string): Promise<PayloadIndex> {
  const { size } = await file.stat();
  const footer = parseFooter(await readAt(file, Math.max(0, size - FOOTER_BYTES), FOOTER_BYTES));
  if (footer === undefined || footer.offset + footer.length + FOOTER_BYTES !== size)
    throw PayloadError.damaged(path, "its end is missing");
  const bytes = await readAt(file, footer.offset, footer.length);
  if (!createHash("sha256").update(bytes).digest().equals(footer.sha256))
    throw PayloadError.damaged(path, "its list is not the one it was built with");
  const index: unknown = JSON.parse(zstdDecompressSync(bytes).toString());
  if (!isPayloadIndex(index)) throw PayloadError.damaged(path, "its list is of another format");
  return index;
}

async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  const { bytesRead } = await file.read(buffer, 0, length, position);
  return buffer.subarray(0, bytesRead);
}
