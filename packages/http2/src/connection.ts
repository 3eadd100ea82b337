import type { Duplex } from "node:stream";
import type { ByteCount } from "./byte-count.ts";
import {
  goawayFrame,
  pingFrame,
  Setting,
  settingsAckFrame,
  settingsFrame,
  windowUpdateFrame,
} from "./control-frames.ts";
import { ConnectionError, ErrorCode } from "./error-code.ts";
import { Flag, FrameType, PREFACE, WINDOW_DEFAULT, WINDOW_MAX } from "./frame.ts";
import type { FrameOutput } from "./frame-output.ts";
import { FrameReader } from "./frame-reader.ts";
import { checkFrame } from "./frame-rules.ts";
import { HeaderAssembly, unpadded } from "./header-assembly.ts";
import type { Limits } from "./limits.ts";
import { PeerSettings } from "./peer-settings.ts";
import { PingPolice } from "./ping-policy.ts";
import type { RequestHead } from "./request-head.ts";
import { Sender } from "./sender.ts";
import type { ServerStream, StreamListener } from "./stream.ts";
import { Streams } from "./streams.ts";
import { TokenBucket } from "./token-bucket.ts";
import { Watchdog } from "./watchdog.ts";

export interface ConnectionOptions {
  readonly limits: Limits;
  /** Called for each request that is well-formed. Must not throw. */
  readonly onRequest: (stream: ServerStream, head: RequestHead) => StreamListener;
  readonly output: FrameOutput;
  /** What waits on all connections. */
  readonly queued: ByteCount;
  /** Milliseconds of a monotonic clock. */
  readonly clock: () => number;
  /** Called once, when nothing of the connection is left. */
  readonly onClose: (connection: Connection) => void;
}

const HIGHEST_ID = WINDOW_MAX;
/** Content of the ping by which we learn that the peer has seen our GOAWAY. */
const LEAVE_PING = Buffer.from("k3sleave", "latin1");
const KEEPALIVE_PING = Buffer.from("k3salive", "latin1");
/**
 * grpc-go sends it behind data that it got, to measure its bandwidth, and not again before the answer (bdp_estimator.go). Answered
 * at once, a client with one call at a time costs two more system calls on either side for each of its calls.
 */
const BANDWIDTH_PING = Buffer.from([2, 4, 16, 16, 9, 14, 7, 7]);

type Phase = "open" | "leaving" | "left" | "closing";

/** The server's end of one HTTP/2 connection. */
export class Connection {
  readonly #socket: Duplex;
  readonly #options: ConnectionOptions;
  readonly #reader = new FrameReader();
  readonly #assembly: HeaderAssembly;
  readonly #sender: Sender;
  readonly #streams: Streams;
  readonly #settings: PeerSettings;
  readonly #pings: PingPolice;
  readonly #idleFrames: TokenBucket;
  readonly #watchdog: Watchdog;
  #prefaceBytes = 0;
  #hasSettings = false;
  #phase: Phase = "open";
  #phaseSince: number;
  #hasFailed = false;
  /** Since when nothing of ours waits in a connection that is being closed. */
  #lingersSince = 0;
  /** What the last GOAWAY has told: it must not rise again (RFC 9113 section 6.8). */
  #lastId = HIGHEST_ID;

  /** `socket` is connected, and may be paused; what it has read before is put back into it. */
  constructor(socket: Duplex, options: ConnectionOptions) {
    const { limits, output, queued, clock } = options;
    const now = clock();
    this.#socket = socket;
    this.#options = options;
    this.#assembly = new HeaderAssembly(limits.headerListBytesMax);
    this.#pings = new PingPolice(limits.pings);
    this.#idleFrames = new TokenBucket(limits.idleFrames, now);
    this.#watchdog = new Watchdog(limits, now);
    this.#phaseSince = now;
    this.#sender = new Sender({
      output,
      queued,
      write: (chunks) => this.#write(chunks),
      onEnd: (stream) => this.#streams.answered(stream),
      onAnswer: () => this.#pings.forgive(),
    });
    this.#settings = new PeerSettings((size) => this.#sender.encoder.limitTable(size));
    this.#streams = new Streams({
      limits,
      clock,
      sender: this.#sender,
      onRequest: options.onRequest,
      control: (frame) => this.#control(frame),
      onEmpty: () => this.#closeIfDone(),
    });
    this.#listen();
    this.#control(announcement(limits));
  }

  /** Bytes of bodies that wait. */
  get queuedBytes(): number {
    return this.#sender.queuedBytes;
  }

  /** For how long it has taken nothing of them, as the last {@link sweep} knew. */
  get stalledMs(): number {
    return this.#options.clock() - this.#watchdog.movedAt;
  }

  /** Asks the client to go, lets its streams end, then closes. */
  leave(): void {
    if (this.#phase !== "open") return;
    this.#enter("leaving");
    this.#control(goawayFrame(HIGHEST_ID, ErrorCode.noError));
    this.#control(pingFrame(LEAVE_PING, { isAck: false }));
  }

  /** Cuts the connection. */
  destroy(): void {
    this.#socket.destroy();
  }

  /** To be called from time to time: looks for what takes too long. */
  sweep(): void {
    const now = this.#options.clock();
    if (this.#phase === "closing") {
      this.#linger(now);
      return;
    }
    if (this.#phase === "leaving" && now - this.#phaseSince > this.#options.limits.lingerMs) this.#leaveForGood();
    const verdict = this.#watchdog.check(now, {
      isOpen: this.#hasSettings,
      isMidHeaders: this.#assembly.streamId !== 0,
      hasStreams: !this.#streams.isEmpty,
      queuedBytes: this.#sender.queuedBytes,
      progress: this.#sender.progress,
    });
    if (verdict === "cut") this.destroy();
    else if (verdict === "leave") this.leave();
    else if (verdict === "ping") this.#control(pingFrame(KEEPALIVE_PING, { isAck: false }));
  }

  /** A client that reads slowly still gets the end of its answers, unless the connection has failed. */
  #linger(now: number): void {
    const { lingerMs, stallMs } = this.#options.limits;
    const isSending = !this.#hasFailed && this.#socket.writableLength > 0 && now - this.#phaseSince <= stallMs;
    if (isSending) this.#lingersSince = now;
    else if (now - this.#lingersSince > lingerMs) this.destroy();
  }

  get #isClosing(): boolean {
    return this.#phase === "closing";
  }

  #listen(): void {
    const socket = this.#socket;
    socket.on("data", (chunk: Buffer) => this.#receive(chunk));
    socket.on("drain", () => this.#sender.drained());
    socket.on("error", () => socket.destroy());
    socket.once("end", () => this.#enter("closing"));
    socket.once("close", () => {
      this.#sender.close();
      this.#streams.abortAll();
      this.#options.onClose(this);
    });
    socket.resume();
  }

  #receive(chunk: Buffer): void {
    if (this.#isClosing) return;
    this.#watchdog.heard();
    try {
      this.#reader.feed(this.#prefaceBytes === PREFACE.length ? chunk : this.#passPreface(chunk));
      while (!this.#isClosing && this.#reader.next()) this.#frame();
    } catch (error) {
      if (!(error instanceof ConnectionError)) throw error;
      this.#fail(error);
    }
  }

  #passPreface(chunk: Buffer): Buffer {
    const count = Math.min(chunk.length, PREFACE.length - this.#prefaceBytes);
    if (PREFACE.compare(chunk, 0, count, this.#prefaceBytes, this.#prefaceBytes + count) !== 0)
      throw new ConnectionError(ErrorCode.protocolError, "not an HTTP/2 client");
    this.#prefaceBytes += count;
    return chunk.subarray(count);
  }

  #frame(): void {
    const frame = this.#reader;
    checkFrame(frame);
    if (this.#assembly.streamId !== 0 && frame.type !== FrameType.continuation)
      throw new ConnectionError(ErrorCode.protocolError, "header section interrupted");
    if (!this.#hasSettings && (frame.type !== FrameType.settings || (frame.flags & Flag.ack) !== 0))
      throw new ConnectionError(ErrorCode.protocolError, "no SETTINGS first");
    switch (frame.type) {
      case FrameType.data:
        this.#data();
        return;
      case FrameType.headers:
        this.#headers(this.#assembly.begin(frame));
        return;
      case FrameType.continuation:
        this.#spend();
        this.#headers(this.#assembly.append(frame));
        return;
      case FrameType.rstStream:
        this.#streams.resetByPeer(frame.streamId);
        return;
      case FrameType.windowUpdate:
        this.#windowUpdate(frame.streamId, frame.bytes.readUInt32BE(frame.start) & WINDOW_MAX);
        return;
      default:
        this.#connectionFrame();
    }
  }

  #connectionFrame(): void {
    const { type, flags } = this.#reader;
    const isAck = (flags & Flag.ack) !== 0;
    if (isAck || type !== FrameType.ping) this.#spend();
    if (type === FrameType.ping) this.#ping(isAck);
    else if (type === FrameType.settings && !isAck) this.#applySettings();
    else if (type === FrameType.goaway) this.leave();
  }

  #data(): void {
    const frame = this.#reader;
    const { start, end } = unpadded(frame);
    if (frame.length === 0 && (frame.flags & Flag.endStream) === 0) this.#spend();
    this.#streams.receive({
      streamId: frame.streamId,
      body: frame.bytes.subarray(start, end),
      flowBytes: frame.length,
      endStream: (frame.flags & Flag.endStream) !== 0,
    });
  }

  #headers(block: ReturnType<HeaderAssembly["begin"]>): void {
    if (block !== undefined) this.#streams.headers(block, this.#phase === "left");
  }

  #windowUpdate(streamId: number, increment: number): void {
    if (streamId !== 0) {
      this.#streams.openWindow(streamId, increment);
      return;
    }
    if (increment === 0) throw new ConnectionError(ErrorCode.protocolError, "WINDOW_UPDATE by nothing");
    if (!this.#sender.openWindow(increment))
      throw new ConnectionError(ErrorCode.flowControlError, "window of the connection too large");
  }

  #applySettings(): void {
    this.#hasSettings = true;
    const before = this.#settings.initialWindowSize;
    this.#settings.apply(this.#reader.payload());
    this.#streams.moveWindows(this.#settings.initialWindowSize - before);
    this.#control(settingsAckFrame());
  }

  #ping(isAck: boolean): void {
    const data = this.#reader.payload();
    if (isAck) {
      if (this.#phase === "leaving" && data.equals(LEAVE_PING)) this.#leaveForGood();
      return;
    }
    if (!this.#pings.accepts(this.#options.clock(), this.#streams.isEmpty))
      throw new ConnectionError(ErrorCode.enhanceYourCalm, "too_many_pings");
    const answer = pingFrame(data, { isAck: true });
    if (!data.equals(BANDWIDTH_PING)) this.#control(answer);
    else if (!this.#sender.accompany(answer)) this.destroy();
  }

  /** Counts a frame that carries nothing. */
  #spend(): void {
    if (!this.#idleFrames.take(this.#options.clock))
      throw new ConnectionError(ErrorCode.enhanceYourCalm, "too many frames without content");
  }

  /** The peer knows of GOAWAY: streams it opens from here on are left alone. */
  #leaveForGood(): void {
    this.#enter("left");
    this.#lastId = this.#streams.lastId;
    this.#control(goawayFrame(this.#lastId, ErrorCode.noError));
    this.#closeIfDone();
  }

  #closeIfDone(): void {
    if (this.#phase !== "left" || !this.#streams.isEmpty) return;
    // The frames of the last answer are still to be written.
    setImmediate(() => {
      if (this.#phase !== "left" || !this.#streams.isEmpty) return;
      this.#sender.flush();
      this.#end();
    });
  }

  #fail({ code, message }: ConnectionError): void {
    this.#hasFailed = true;
    this.#sender.finish(goawayFrame(Math.min(this.#lastId, this.#streams.lastId), code, message));
    this.#end();
    this.#streams.abortAll();
  }

  /** What was written still reaches the peer; it is cut if it does not close its side soon. */
  #end(): void {
    this.#enter("closing");
    this.#sender.close();
    this.#socket.end();
  }

  #enter(phase: Phase): void {
    this.#phase = phase;
    this.#phaseSince = this.#options.clock();
    this.#lingersSince = this.#phaseSince;
  }

  #control(frame: Uint8Array): void {
    if (!this.#sender.control(frame)) this.destroy(); // it sends and does not read: GOAWAY would not reach it
  }

  #write(chunks: readonly Uint8Array[]): boolean {
    const socket = this.#socket;
    if (chunks.length > 1) socket.cork();
    for (const chunk of chunks) socket.write(chunk);
    if (chunks.length > 1) socket.uncork();
    return !socket.writableNeedDrain;
  }
}

function announcement(limits: Limits): Buffer {
  const settings = settingsFrame([
    [Setting.maxConcurrentStreams, limits.streamsMax],
    [Setting.initialWindowSize, limits.streamWindowBytes],
    [Setting.maxHeaderListSize, limits.headerListBytesMax],
  ]);
  const more = limits.connectionWindowBytes - WINDOW_DEFAULT;
  return more === 0 ? settings : Buffer.concat([settings, windowUpdateFrame(0, more)]);
}
