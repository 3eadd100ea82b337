import { createHash } from "node:crypto";
import { open, type FileHandle } from "node:fs/promises";
import { pipeline, Readable } from "node:stream";
import { createZstdDecompress, zstdDecompressSync } from "node:zlib";
import { PayloadError } from "./errors.ts";
import { FOOTER_BYTES, parseFooter } from "./footer.ts";
import { isPayloadIndex, type IndexBlock, type PayloadIndex } from "./payload-index.ts";

const CHUNK_BYTES = 1 << 20;

/** Takes the content of one file; has to read it to its end. */
export type MemberSink = (name: string, content: AsyncIterable<Buffer>) => Promise<void>;

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
    const wanted = this.#index.blocks.filter((block) => block.members.some((member) => member.name === name));
    await this.#extract(wanted, async (member, content) => {
      const chunks = await Array.fromAsync(content);
      if (member === name) found = Buffer.concat(chunks);
    });
    return found;
  }

  /** Gives all files to `sink`, one after the other. Rejects with PayloadError when they are damaged. */
  async extract(sink: MemberSink, signal?: AbortSignal): Promise<void> {
    await this.#extract(this.#index.blocks, sink, signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }

  async #extract(blocks: readonly IndexBlock[], sink: MemberSink, signal?: AbortSignal): Promise<void> {
    for (const block of blocks) {
      const content = new Cutter(this.#unpacked(block, signal), this.path);
      for (const { name, size } of block.members) await sink(name, content.next(size));
      await content.expectEnd();
    }
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
