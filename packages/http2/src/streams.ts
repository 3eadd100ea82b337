import { rstStreamFrame, windowUpdateFrame } from "./control-frames.ts";
import { ConnectionError, ErrorCode } from "./error-code.ts";
import { WINDOW_DEFAULT, WINDOW_MAX } from "./frame.ts";
import type { HeaderBlock } from "./header-assembly.ts";
import type { HeaderField } from "./hpack/header-field.ts";
import { HeaderList } from "./hpack/header-list.ts";
import { HpackDecoder } from "./hpack/hpack-decoder.ts";
import type { Limits } from "./limits.ts";
import { ReceiveWindow } from "./receive-window.ts";
import { areRegular, contentLength, parseRequestHead, type RequestHead } from "./request-head.ts";
import type { Sender } from "./sender.ts";
import { Stream, type ServerStream, type StreamListener, type StreamOwner } from "./stream.ts";
import { StreamTable } from "./stream-table.ts";
import { TokenBucket } from "./token-bucket.ts";

export interface StreamsOptions {
  readonly limits: Limits;
  readonly clock: () => number;
  readonly sender: Sender;
  readonly onRequest: (stream: ServerStream, head: RequestHead) => StreamListener;
  /** Sends a frame ahead of those of the streams. */
  readonly control: (frame: Uint8Array) => void;
  /** The last open stream has ended. */
  readonly onEmpty: () => void;
}

/** One DATA frame. */
export interface ReceivedData {
  readonly streamId: number;
  readonly body: Buffer;
  /** What counts against the windows: body and padding. */
  readonly flowBytes: number;
  readonly endStream: boolean;
}

const TOO_LARGE = new HeaderList([[":status", "431"]]);

/** The life of the streams of one connection, from the frames that belong to them. Throws ConnectionError. */
export class Streams implements StreamOwner {
  readonly #options: StreamsOptions;
  readonly #table = new StreamTable();
  readonly #decoder: HpackDecoder;
  readonly #received: ReceiveWindow;
  readonly #resets: TokenBucket;
  #sendWindow = WINDOW_DEFAULT;
  /** Bytes of bodies that the listeners have not credited. */
  #unread = 0;

  constructor(options: StreamsOptions) {
    const { limits, clock } = options;
    this.#options = options;
    this.#decoder = new HpackDecoder({ listSizeMax: limits.headerListBytesMax });
    this.#received = new ReceiveWindow(limits.connectionWindowBytes);
    this.#resets = new TokenBucket(limits.resets, clock());
  }

  get isEmpty(): boolean {
    return this.#table.isEmpty;
  }

  get backlogBytes(): number {
    return this.#options.sender.queuedBytes;
  }

  /** Highest id the peer has used. */
  get lastId(): number {
    return this.#table.lastId;
  }

  /** A whole header block. `isLeaving`: new streams are not taken any more. */
  headers({ streamId, endStream, block }: HeaderBlock, isLeaving: boolean): void {
    const fields = this.#decoder.decode(block); // also when nobody wants it: the tables must stay in step
    const stream = this.#table.get(streamId);
    if (stream !== undefined) {
      this.#trailers(stream, fields, endStream);
      return;
    }
    if (streamId % 2 === 0) throw new ConnectionError(ErrorCode.protocolError, "stream id of a server");
    if (!this.#table.isIdle(streamId)) {
      this.#headersLate(streamId);
      return;
    }
    this.#table.use(streamId);
    if (isLeaving || this.#table.load >= this.#options.limits.streamsMax) {
      this.#refuse(streamId, ErrorCode.refusedStream);
      return;
    }
    this.#open(streamId, fields, endStream);
  }

  receive({ streamId, body, flowBytes, endStream }: ReceivedData): void {
    if (!this.#received.take(flowBytes))
      throw new ConnectionError(ErrorCode.flowControlError, "window of the connection exceeded");
    this.#creditConnection(flowBytes); // a stream that nobody reads must not hold up the others
    const stream = this.#table.get(streamId);
    if (stream === undefined || stream.isRemoteClosed) {
      this.#receiveLate(streamId, stream);
      return;
    }
    this.#unread += flowBytes;
    stream.unread += flowBytes;
    if (!stream.received.take(flowBytes)) {
      this.#streamError(stream, ErrorCode.flowControlError);
      return;
    }
    if (this.#unread > this.#options.limits.unreadBytesMax) {
      this.#streamError(stream, ErrorCode.enhanceYourCalm);
      return;
    }
    if (flowBytes > body.length) stream.credit(flowBytes - body.length);
    stream.bodyLeft -= body.length;
    if (stream.bodyLeft < 0) this.#streamError(stream, ErrorCode.protocolError);
    else if (body.length > 0) stream.listener.data(body);
    if (endStream) this.#remoteEnd(stream);
    else stream.credit(0); // the window is smaller now: what was credited before may have to be told
  }

  resetByPeer(streamId: number): void {
    const stream = this.#table.get(streamId);
    if (stream === undefined) {
      if (this.#table.isIdle(streamId))
        throw new ConnectionError(ErrorCode.protocolError, "RST_STREAM on an idle stream");
      return;
    }
    this.#countReset();
    this.#abort(stream);
  }

  /** The peer takes more of one stream. */
  openWindow(streamId: number, increment: number): void {
    const stream = this.#table.get(streamId);
    if (stream === undefined) {
      if (this.#table.isIdle(streamId))
        throw new ConnectionError(ErrorCode.protocolError, "WINDOW_UPDATE on an idle stream");
      return;
    }
    stream.out.window += increment;
    if (increment === 0) this.#streamError(stream, ErrorCode.protocolError);
    else if (stream.out.window > WINDOW_MAX) this.#streamError(stream, ErrorCode.flowControlError);
    else this.#options.sender.submit(stream, 0);
  }

  /** The peer has changed the initial window, which moves that of every stream. */
  moveWindows(delta: number): void {
    this.#sendWindow += delta;
    if (delta === 0) return;
    for (const stream of this.#table) {
      stream.out.window += delta;
      if (stream.out.window > WINDOW_MAX)
        throw new ConnectionError(ErrorCode.flowControlError, "window of a stream too large");
      this.#options.sender.submit(stream, 0);
    }
  }

  /** The end of the answer is on its way. */
  answered(stream: Stream): void {
    this.#close(stream);
    // The rest of the request has no use any more (RFC 9113 section 8.1).
    if (!stream.isRemoteClosed) this.#sendReset(stream.id, ErrorCode.noError);
  }

  /** The connection is gone. */
  abortAll(): void {
    for (const stream of this.#table) this.#abort(stream);
  }

  submit(stream: Stream, added: number): void {
    this.#options.sender.submit(stream, added);
  }

  reset(stream: Stream, code: ErrorCode): void {
    this.#close(stream);
    this.#sendReset(stream.id, code);
  }

  credit(stream: Stream, bytes: number): void {
    this.#unread -= bytes;
    if (stream.isRemoteClosed || stream.isGone) return;
    const increment = stream.received.credit(bytes);
    if (increment > 0) this.#options.control(windowUpdateFrame(stream.id, increment));
  }

  #open(id: number, fields: HeaderField[] | undefined, endStream: boolean): void {
    const head = fields === undefined ? undefined : parseRequestHead(fields);
    const length = head === undefined ? -1 : contentLength(head.fields);
    if ((fields !== undefined && head === undefined) || Number.isNaN(length)) {
      this.#refuse(id, ErrorCode.protocolError);
      return;
    }
    const { limits, onRequest } = this.#options;
    const stream = new Stream(id, this, {
      sendWindow: this.#sendWindow,
      receiveWindow: limits.streamWindowBytes,
      sendQueueBytes: limits.sendQueueBytes,
      bodyBytes: length < 0 ? Infinity : length,
    });
    this.#table.add(stream);
    if (head === undefined) {
      stream.sendHead(TOO_LARGE);
      stream.end();
    } else {
      stream.listener = onRequest(stream, head);
    }
    if (endStream) this.#remoteEnd(stream);
  }

  #trailers(stream: Stream, fields: HeaderField[] | undefined, endStream: boolean): void {
    if (stream.isRemoteClosed) this.#streamError(stream, ErrorCode.streamClosed);
    else if (!endStream || fields === undefined || !areRegular(fields))
      this.#streamError(stream, ErrorCode.protocolError);
    else this.#remoteEnd(stream);
  }

  #remoteEnd(stream: Stream): void {
    if (stream.isGone) return;
    stream.isRemoteClosed = true;
    if (stream.bodyLeft !== 0 && stream.bodyLeft !== Infinity) this.#streamError(stream, ErrorCode.protocolError);
    else stream.listener.end();
  }

  /** DATA for a stream that takes none any more. */
  #receiveLate(streamId: number, stream: Stream | undefined): void {
    if (stream !== undefined) {
      this.#streamError(stream, ErrorCode.streamClosed);
      return;
    }
    if (this.#table.isIdle(streamId)) throw new ConnectionError(ErrorCode.protocolError, "DATA on an idle stream");
    if (this.#table.endOf(streamId) !== "ours") this.#refuse(streamId, ErrorCode.streamClosed);
  }

  /** A header section for a stream that is gone. */
  #headersLate(streamId: number): void {
    const end = this.#table.endOf(streamId);
    if (end === "theirs") throw new ConnectionError(ErrorCode.streamClosed, "HEADERS on a closed stream");
    if (end === "forgotten") this.#refuse(streamId, ErrorCode.streamClosed);
  }

  /** A mistake of the peer that ends one stream. */
  #streamError(stream: Stream, code: ErrorCode): void {
    this.#countReset();
    this.#abort(stream);
    this.#sendReset(stream.id, code);
  }

  #refuse(streamId: number, code: ErrorCode): void {
    this.#countReset();
    this.#sendReset(streamId, code);
  }

  #countReset(): void {
    if (!this.#resets.take(this.#options.clock))
      throw new ConnectionError(ErrorCode.enhanceYourCalm, "too many streams reset");
  }

  #sendReset(streamId: number, code: ErrorCode): void {
    this.#table.endedByUs(streamId);
    this.#options.control(rstStreamFrame(streamId, code));
  }

  #abort(stream: Stream): void {
    this.#close(stream);
    stream.listener.aborted();
  }

  #close(stream: Stream): void {
    this.#table.remove(stream);
    this.#options.sender.drop(stream);
    const { work } = stream.listener;
    if (work === undefined) stream.credit(stream.unread);
    else this.#table.abandon(work, () => stream.credit(stream.unread)); // whoever works on the request still has it
    if (this.#table.isEmpty) this.#options.onEmpty();
  }

  #creditConnection(bytes: number): void {
    const increment = this.#received.credit(bytes);
    if (increment > 0) this.#options.control(windowUpdateFrame(0, increment));
  }
}
