import { describeError } from "@k3s/errors";
import type { Logger } from "@k3s/log";
import { ProtocolError, TunnelStreamError } from "./errors.ts";
import type { FlowControl } from "./flow-gate.ts";
import { FramePool } from "./frame-pool.ts";
import { FrameIds } from "./frame-ids.ts";
import {
  decodeFrame,
  encodeDataInto,
  encodeFrame,
  frameRoom,
  type DialTarget,
  type Frame,
  type FrameBody,
} from "./frame.ts";
import { KeepAlive } from "./keep-alive.ts";
import type { MessageChannel } from "./message-channel.ts";
import type { TunnelAcceptor } from "./tunnel-acceptor.ts";
import { DATA_BYTES_MAX, TunnelStream } from "./tunnel-stream.ts";
import { Turns } from "./turns.ts";

/** Times of a session, in milliseconds. */
export interface SessionTimes {
  /** Between two pings of the client, and between two looks at the peer's silence on either side. */
  readonly pingEveryMs: number;
  /** Silence after which the peer is called silent. */
  readonly silentAfterMs: number;
  /** Silence that ends the session; remotedialer: 60 s. */
  readonly deadAfterMs: number;
  /** Between two lists of connections that a client sends; remotedialer: 60 s. */
  readonly syncEveryMs: number;
}

export interface TunnelSessionOptions {
  readonly channel: MessageChannel;
  readonly flowControl: FlowControl;
  readonly times: SessionTimes;
  /** `<client key>/<session key>`, for the text of one Error. */
  readonly key: string;
  /** Makes this the side that takes Connect, pings and lists its connections; undefined: a server, which does none of it. */
  readonly acceptor?: TunnelAcceptor;
  readonly onSilence?: (isSilent: boolean) => void;
  readonly log: Logger;
}

/** remotedialer increments before use. */
const FIRST_CONNECTION = 2;
/** A list of connections that was made before their Connect arrived does not end connections younger than this. */
const SYNC_GRACE_MS = 10_000;
const DISCONNECT = "tunnel disconnect";
const SYNCED_AWAY = "sync from client";

/** The connections through one websocket. Malformed input ends this session and nothing else. */
export class TunnelSession {
  readonly #options: TunnelSessionOptions;
  readonly #channel: MessageChannel;
  readonly #ids = new FrameIds();
  readonly #pool = new FramePool(frameRoom(DATA_BYTES_MAX));
  readonly #streams = new Map<number, TunnelStream>();
  readonly #turns: Turns;
  readonly #alive: KeepAlive;
  readonly #stopping = new AbortController();
  readonly #ended = Promise.withResolvers<Error | undefined>();
  #nextConnection = FIRST_CONNECTION;
  #sinceSyncMs = 0;

  constructor(options: TunnelSessionOptions) {
    const { channel, times, acceptor, onSilence } = options;
    this.#options = options;
    this.#channel = channel;
    this.#turns = new Turns(() => channel.isCongested);
    this.#alive = new KeepAlive({
      ...(acceptor === undefined ? {} : { ping: () => this.#beat() }),
      intervalMs: times.pingEveryMs,
      silentAfterMs: times.silentAfterMs,
      deadAfterMs: times.deadAfterMs,
      onDead: () =>
        this.#fail(new Error(`Cannot go on with tunnel session: peer silent for ${times.deadAfterMs / 1000} s`)),
      ...(onSilence === undefined ? {} : { onSilence }),
    });
    this.#channel.listen({
      onMessage: (message) => this.#receive(message),
      onStrangeMessage: () => this.#fail(new ProtocolError("a text message")),
      onAlive: () => this.#alive.heard(),
      onDrain: () => this.#turns.serve(),
      onClose: (error) => this.#end(error),
    });
    // run() rejects only with what its callbacks throw, and these do not throw.
    void this.#alive.run(this.#stopping.signal);
  }

  /** Resolves when the session is over, with the reason unless it was closed in order. */
  get ended(): Promise<Error | undefined> {
    return this.#ended.promise;
  }

  get isOver(): boolean {
    return this.#stopping.signal.aborted;
  }

  /** How long nothing has been heard of the peer. */
  get silenceMs(): number {
    return this.#alive.silenceMs;
  }

  /** Connections that are open now. */
  get streams(): number {
    return this.#streams.size;
  }

  /** Opens a connection from the peer to `target`. There is no answer: when the peer cannot dial, the stream ends with its error. */
  open(target: DialTarget): TunnelStream {
    if (this.isOver) throw new TunnelStreamError(DISCONNECT);
    const connection = this.#nextConnection++;
    this.#send({ type: "connect", connection, target });
    return this.#add(connection, target);
  }

  /** Ends every connection, then the session. */
  close(): void {
    this.#end(undefined);
    this.#channel.close();
  }

  /** Ends the session because of what its user found out. */
  #fail(error: Error): void {
    this.#end(error);
    this.#channel.terminate();
  }

  #end(error: Error | undefined): void {
    if (this.isOver) return;
    this.#stopping.abort(error ?? new Error("Tunnel session is closed"));
    const streams = [...this.#streams];
    this.#streams.clear();
    for (const [connection, stream] of streams) {
      this.#send({ type: "error", connection, text: DISCONNECT });
      stream.onEnd(DISCONNECT);
    }
    this.#ended.resolve(error);
  }

  #beat(): void {
    this.#channel.ping();
    this.#sinceSyncMs += this.#options.times.pingEveryMs;
    if (this.#sinceSyncMs < this.#options.times.syncEveryMs) return;
    this.#sinceSyncMs = 0;
    this.#send({ type: "sync", connection: 0, connections: [...this.#streams.keys()] });
  }

  #send(body: Exclude<FrameBody, { type: "unknown" }>): void {
    this.#channel.send(encodeFrame({ ...body, id: this.#ids.take() }));
  }

  #sendData(connection: number, payload: Buffer): void {
    const room = this.#pool.take();
    const message = encodeDataInto(room, { type: "data", connection, payload, id: this.#ids.take() });
    this.#channel.send(message, () => this.#pool.giveBack(room));
  }

  #add(connection: number, target: DialTarget): TunnelStream {
    const stream: TunnelStream = new TunnelStream({
      target,
      flowControl: this.#options.flowControl,
      outlet: {
        turns: this.#turns,
        data: (payload) => this.#sendData(connection, payload),
        flow: (type) => this.#send({ type, connection }),
        over: (text) => {
          if (this.#streams.get(connection) !== stream) return;
          this.#streams.delete(connection);
          this.#send({ type: "error", connection, text });
        },
      },
    });
    // Without a listener, an Error frame that comes before the user listens would end the process.
    stream.on("error", () => undefined);
    this.#streams.set(connection, stream);
    return stream;
  }

  #receive(message: Buffer): void {
    if (this.isOver) return;
    this.#alive.heard();
    try {
      this.#handle(decodeFrame(message));
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error;
      this.#fail(error);
    }
  }

  #handle(frame: Frame): void {
    switch (frame.type) {
      case "data":
      case "error":
      case "pause":
      case "resume":
        this.#handleStream(frame);
        break;
      case "connect":
        this.#accept(frame.connection, frame.target);
        break;
      case "sync":
        this.#sync(frame.connections);
        break;
      case "addClient":
      case "removeClient":
      case "unknown":
        break; // the first two are for servers that speak to each other, which k3s does not use
    }
  }

  #handleStream(frame: Extract<Frame, { type: "data" | "error" | "pause" | "resume" }>): void {
    const stream = this.#streams.get(frame.connection);
    if (frame.type === "data" && stream === undefined) this.#refuse(frame.connection);
    else if (frame.type === "data") stream?.onData(frame.payload);
    else if (frame.type === "error") this.#remoteEnd(frame.connection, frame.text);
    else if (frame.type === "pause") stream?.onPause();
    else stream?.onResume();
  }

  #refuse(connection: number): void {
    this.#send({ type: "error", connection, text: `connection not found ${this.#options.key}/${connection}` });
  }

  #remoteEnd(connection: number, text: string): void {
    const stream = this.#streams.get(connection);
    if (stream === undefined) return;
    this.#streams.delete(connection);
    this.#send({ type: "error", connection, text });
    stream.onEnd(text);
  }

  #sync(connections: readonly number[]): void {
    if (this.#options.acceptor !== undefined) return;
    const listed = new Set(connections);
    for (const [connection, stream] of [...this.#streams]) {
      if (listed.has(connection) || performance.now() - stream.openedAt < SYNC_GRACE_MS) continue;
      this.#streams.delete(connection);
      stream.onEnd(SYNCED_AWAY);
    }
  }

  #accept(connection: number, target: DialTarget): void {
    const { acceptor, log } = this.#options;
    if (acceptor === undefined || !acceptor.authorize(target)) throw new ProtocolError("a Connect that is not allowed");
    if (this.#streams.has(connection)) throw new ProtocolError("a Connect for a connection there is already");
    const stream = this.#add(connection, target);
    acceptor.serve(stream, this.#stopping.signal).catch((error: unknown) => {
      log.debug({ target: target.address, error }, "dial for the server failed");
      stream.destroy(error instanceof Error ? error : new Error(describeError(error)));
    });
  }
}
