import { sleep } from "@k3s/async";
import { FRAME_PAYLOAD_MAX, Flag, FrameType, WINDOW_DEFAULT, WINDOW_MAX } from "./frame.ts";
import type { ByteCount } from "./byte-count.ts";
import type { FrameOutput } from "./frame-output.ts";
import { HpackEncoder } from "./hpack/hpack-encoder.ts";
import type { Stream } from "./stream.ts";

export interface SenderOptions {
  readonly output: FrameOutput;
  /** Takes bytes in order; false when it has enough for now, until {@link Sender.drained}. */
  readonly write: (chunks: readonly Uint8Array[]) => boolean;
  /** What waits on all connections. */
  readonly queued: ByteCount;
  /** The end of the stream's answer is on its way. */
  readonly onEnd: (stream: Stream) => void;
  /** A header or data frame is on its way. */
  readonly onAnswer: () => void;
}

/** Put into one write; more waits until the socket has taken it and everything else had its turn. */
const BATCH_BYTES = 128 << 10;
/** Answers to a peer that sends but does not read. */
const CONTROL_BYTES_MAX = 256 << 10;
/** How long a frame waits at most that is to go out behind others. TCP keeps its own acknowledgements back for 40 to 200 ms. */
const COMPANION_WAIT_MS = 200;
/** Streams that are gone stay in the lists until so many of them can be taken out together. */
const DROPPED_MAX = 256;

/**
 * Everything that goes out on one connection. What is handed over in one turn of the event loop leaves in one write:
 * control frames first, then the streams in a circle, a frame of each, as far as the windows allow.
 */
export class Sender {
  readonly encoder = new HpackEncoder();
  readonly #options: SenderOptions;
  #window = WINDOW_DEFAULT;
  #control: Uint8Array[] = [];
  #controlBytes = 0;
  #companion: Uint8Array | undefined;
  #isCompanionTimed = false;
  #ready: Stream[] = [];
  #nextReady = 0;
  /** Could send if the connection's window were open. */
  #starved: Stream[] = [];
  #dropped = 0;
  #queuedBytes = 0;
  #progress = 0;
  #isScheduled = false;
  #isBlocked = false;
  #isClosed = false;
  // A tick queued by a microtask runs when all microtasks are done: also those that are about to send.
  readonly #flush = () => this.flush();
  readonly #afterMicrotasks = () => process.nextTick(this.#flush);

  constructor(options: SenderOptions) {
    this.#options = options;
  }

  /** Bytes of bodies that wait. */
  get queuedBytes(): number {
    return this.#queuedBytes;
  }

  /** Grows whenever something of a body is sent, or the socket has taken what it had. */
  get progress(): number {
    return this.#progress;
  }

  /** Queues a whole frame ahead of the streams' frames. False when the peer has let too many of them pile up. */
  control(frame: Uint8Array): boolean {
    this.#control.push(frame);
    this.#controlBytes += frame.length;
    this.#schedule();
    return this.#controlBytes <= CONTROL_BYTES_MAX;
  }

  /** As {@link control}, for a frame that is in no hurry: it goes behind what is sent next, or alone within 200 ms. */
  accompany(frame: Uint8Array): boolean {
    if (this.#companion !== undefined || this.#isClosed) return this.control(frame);
    this.#companion = frame;
    if (!this.#isCompanionTimed) void this.#timeCompanion();
    return true;
  }

  /** The stream's queue or its window has changed, by `added` bytes of body. */
  submit(stream: Stream, added: number): void {
    this.#count(added);
    if (stream.out.isListed || !stream.out.canSend) return;
    stream.out.isListed = true;
    this.#ready.push(stream);
    this.#schedule();
  }

  /** Takes back what a stream that is gone has not sent. */
  drop(stream: Stream): void {
    this.#count(-stream.out.bytes);
    stream.out.clear();
    if (!stream.out.isListed) return;
    this.#dropped++;
    if (this.#dropped < DROPPED_MAX || this.#dropped * 2 < this.#ready.length + this.#starved.length) return;
    this.#ready = this.#ready.slice(this.#nextReady).filter((one) => !one.isGone);
    this.#nextReady = 0;
    this.#starved = this.#starved.filter((one) => !one.isGone);
    this.#dropped = 0;
  }

  /** False when the window becomes larger than is allowed. */
  openWindow(increment: number): boolean {
    this.#window += increment;
    if (this.#window > WINDOW_MAX) return false;
    if (this.#starved.length === 0) return true;
    for (const stream of this.#starved) this.#ready.push(stream);
    this.#starved = [];
    this.#schedule();
    return true;
  }

  /** The socket has taken everything. */
  drained(): void {
    this.#progress++;
    this.#isBlocked = false;
    // Not at once: a fast reader would keep everybody else waiting.
    if (this.#control.length > 0 || this.#hasReady) setImmediate(this.#flush);
  }

  /** Sends what can be sent now. */
  flush(): void {
    this.#isScheduled = false;
    if (this.#isBlocked || this.#isClosed) return;
    const { output } = this.#options;
    this.#writeControl();
    while (output.bytes < BATCH_BYTES && this.#hasReady) this.#emit(this.#shift());
    if (output.bytes === 0) return;
    this.#writeCompanion();
    this.#isBlocked = !this.#options.write(output.finish());
    if (!this.#isBlocked && this.#hasReady) setImmediate(this.#flush);
  }

  /** A last frame, after which nothing is sent any more. */
  finish(last: Uint8Array): void {
    if (this.#isClosed) return;
    const { output } = this.#options;
    this.#writeControl();
    output.raw(last);
    this.#options.write(output.finish());
    this.close();
  }

  close(): void {
    this.#isClosed = true;
    this.#takeCompanion();
    this.#control = [];
    this.#ready = [];
    this.#starved = [];
  }

  #count(bytes: number): void {
    this.#queuedBytes += bytes;
    this.#options.queued.bytes += bytes;
  }

  get #hasReady(): boolean {
    return this.#nextReady < this.#ready.length;
  }

  #shift(): Stream {
    const stream = this.#ready[this.#nextReady++];
    if (stream === undefined) throw new Error("Cannot send: no stream is ready");
    if (this.#nextReady === this.#ready.length || this.#nextReady >= 1024) {
      this.#ready.splice(0, this.#nextReady);
      this.#nextReady = 0;
    }
    return stream;
  }

  #schedule(): void {
    if (this.#isScheduled || this.#isBlocked) return;
    this.#isScheduled = true;
    queueMicrotask(this.#afterMicrotasks);
  }

  #writeControl(): void {
    for (const frame of this.#control) this.#options.output.raw(frame);
    this.#control = [];
    this.#controlBytes = 0;
  }

  #writeCompanion(): void {
    const frame = this.#takeCompanion();
    if (frame !== undefined) this.#options.output.raw(frame);
  }

  /** One timer for all frames of that time, which begins with the first of them. */
  async #timeCompanion(): Promise<void> {
    this.#isCompanionTimed = true;
    await sleep(COMPANION_WAIT_MS);
    this.#isCompanionTimed = false;
    const frame = this.#takeCompanion();
    if (frame !== undefined) this.control(frame);
  }

  #takeCompanion(): Uint8Array | undefined {
    const frame = this.#companion;
    this.#companion = undefined;
    return frame;
  }

  /** One turn of a stream: its head, up to one frame of its body, its end. */
  #emit(stream: Stream): void {
    const { out } = stream;
    out.isListed = false;
    if (stream.isGone) return;
    if (this.#emitHead(stream) || this.#emitBody(stream) || this.#emitEnd(stream)) this.#options.onEnd(stream);
    else if (!out.isListed && out.canSend) this.#queueAgain(stream);
  }

  // Each of the three says whether the stream ended with it.

  #emitHead(stream: Stream): boolean {
    const { out } = stream;
    if (out.head === undefined) return false;
    const isEnd = out.endsWithoutTrailers && out.bytes === 0;
    this.#headers(stream, out.head, isEnd);
    out.head = undefined;
    return isEnd;
  }

  #emitBody(stream: Stream): boolean {
    const { out } = stream;
    const count = Math.min(out.bytes, out.window, this.#window, FRAME_PAYLOAD_MAX);
    if (count <= 0) return false;
    const isEnd = out.endsWithoutTrailers && count === out.bytes;
    this.#dataFrame(stream, count, isEnd);
    if (!isEnd && out.hasRoomAgain()) stream.listener.drained();
    return isEnd;
  }

  #emitEnd(stream: Stream): boolean {
    const { out } = stream;
    if (!out.isEnding || out.bytes > 0) return false;
    if (out.trailers === undefined) this.#dataFrame(stream, 0, true);
    else this.#headers(stream, out.trailers, true);
    return true;
  }

  #headers(stream: Stream, list: Parameters<HpackEncoder["encode"]>[0], endStream: boolean): void {
    this.#options.output.headers(stream.id, this.encoder.encode(list), endStream);
    this.#options.onAnswer();
  }

  #dataFrame(stream: Stream, length: number, endStream: boolean): void {
    const { output } = this.#options;
    const { out, id } = stream;
    output.frameHead({ type: FrameType.data, flags: endStream ? Flag.endStream : 0, streamId: id, length });
    out.take(length, output.copy);
    out.window -= length;
    this.#window -= length;
    this.#count(-length);
    this.#progress++;
    this.#options.onAnswer();
  }

  #queueAgain(stream: Stream): void {
    stream.out.isListed = true;
    if (this.#window > 0) this.#ready.push(stream);
    else this.#starved.push(stream);
  }
}
