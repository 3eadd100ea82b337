import type { ErrorCode } from "./error-code.ts";
import type { HeaderList } from "./hpack/header-list.ts";
import { ReceiveWindow } from "./receive-window.ts";
import { SendQueue } from "./send-queue.ts";

/** One request and its answer, as its user sees it. All methods may be called at any time: what comes too late is dropped. */
export interface ServerStream {
  readonly id: number;
  /** Bytes of bodies that wait on the stream's whole connection, because the peer does not take them. */
  readonly backlogBytes: number;
  /** The answer's header section. Once, first. */
  sendHead(head: HeaderList): void;
  /**
   * Part of the answer's body; `bytes` must not change afterwards. False when enough waits already: then
   * {@link StreamListener.drained} tells when to go on. Nothing is ever refused.
   */
  sendData(bytes: Uint8Array): boolean;
  /** Ends the answer, with trailers if given. */
  end(trailers?: HeaderList): void;
  /** Ends the stream at once; what waits is dropped. The listener hears nothing more. */
  reset(code: ErrorCode): void;
  /** So many bytes of the request's body need no room any more. */
  credit(bytes: number): void;
}

/** Who is told what happens on a stream. Methods must not throw. */
export interface StreamListener {
  /** A part of the request's body, of at least one byte; to be credited when it needs no room any more. */
  data(bytes: Buffer): void;
  /** The request is complete. */
  end(): void;
  /** There is room again after sendData() returned false. */
  drained(): void;
  /** Nobody will read the answer: the peer has reset the stream or is gone. Last call. */
  aborted(): void;
  /**
   * What works on the request, if it may outlast the stream. A stream that is gone counts against the limit of streams at a time, and
   * its body against that of unread bytes, as long as this is pending.
   */
  readonly work: Promise<unknown> | undefined;
}

/** What a stream needs of its connection. */
export interface StreamOwner {
  readonly backlogBytes: number;
  /** The stream's queue has changed, by `added` bytes of body. */
  submit(stream: Stream, added: number): void;
  reset(stream: Stream, code: ErrorCode): void;
  credit(stream: Stream, bytes: number): void;
}

export interface StreamOptions {
  readonly sendWindow: number;
  readonly receiveWindow: number;
  readonly sendQueueBytes: number;
  /** Length of the body as announced, or Infinity. */
  readonly bodyBytes: number;
}

const DEAF: StreamListener = {
  data: () => undefined,
  end: () => undefined,
  drained: () => undefined,
  aborted: () => undefined,
  work: undefined,
};

export class Stream implements ServerStream {
  readonly id: number;
  readonly out: SendQueue;
  readonly received: ReceiveWindow;
  listener: StreamListener = DEAF;
  /** The peer has sent everything. */
  isRemoteClosed = false;
  /** Neither side says anything more. */
  isGone = false;
  /** Bytes of the body that the listener has not credited. */
  unread = 0;
  /** Bytes of the body still to come as announced; Infinity without an announcement. */
  bodyLeft: number;
  readonly #owner: StreamOwner;

  constructor(id: number, owner: StreamOwner, options: StreamOptions) {
    this.id = id;
    this.#owner = owner;
    this.out = new SendQueue(options.sendWindow, options.sendQueueBytes);
    this.received = new ReceiveWindow(options.receiveWindow);
    this.bodyLeft = options.bodyBytes;
  }

  get backlogBytes(): number {
    return this.#owner.backlogBytes;
  }

  sendHead(head: HeaderList): void {
    if (!this.#isWritable) return;
    this.out.head = head;
    this.#owner.submit(this, 0);
  }

  sendData(bytes: Uint8Array): boolean {
    if (!this.#isWritable || bytes.length === 0) return true;
    const hasRoom = this.out.push(bytes);
    this.#owner.submit(this, bytes.length);
    return hasRoom;
  }

  end(trailers?: HeaderList): void {
    if (!this.#isWritable) return;
    this.out.trailers = trailers;
    this.out.isEnding = true;
    this.#owner.submit(this, 0);
  }

  reset(code: ErrorCode): void {
    if (!this.isGone) this.#owner.reset(this, code);
  }

  credit(bytes: number): void {
    const credited = Math.min(bytes, this.unread);
    this.unread -= credited;
    this.#owner.credit(this, credited);
  }

  get #isWritable(): boolean {
    return !this.isGone && !this.out.isEnding;
  }
}
