import { Duplex } from "node:stream";
import { sleep } from "@k3s/async";
import { TunnelStreamError } from "./errors.ts";
import { FlowGate, type FlowControl } from "./flow-gate.ts";
import { EOF, type DialTarget } from "./frame.ts";
import { ReceiveBuffer } from "./receive-buffer.ts";
import type { Turns } from "./turns.ts";

/** What a stream needs of its session. */
export interface StreamOutlet {
  readonly turns: Turns;
  data(payload: Buffer): void;
  flow(type: "pause" | "resume"): void;
  /** The stream is over on this side: tells the peer why, unless the session knows that already. */
  over(text: string): void;
}

export interface TunnelStreamOptions {
  readonly target: DialTarget;
  readonly flowControl: FlowControl;
  readonly outlet: StreamOutlet;
}

/** Most bytes of one Data frame, as remotedialer's copies. */
export const DATA_BYTES_MAX = 32 * 1024;
/** Data frames sent before another stream has its turn. */
const FRAMES_PER_TURN = 2;
/** A peer that goes on after Pause can fill what the network holds, some 10 MiB, and no more. */
const BUFFERED_MAX_BYTES = 32 * 2 ** 20;
/** Smaller payloads are copied: they would hold the block they were read with. */
const OWNED_MIN_BYTES = 16 * 1024;

/**
 * One connection through the tunnel. The protocol knows no half-open connection: the end of one direction is the end of
 * both; what had arrived before can still be read. Destroying it with an error tells the peer that error's message.
 */
export class TunnelStream extends Duplex {
  readonly target: DialTarget;
  readonly openedAt = performance.now();
  readonly #outlet: StreamOutlet;
  readonly #gate: FlowGate;
  readonly #received = new ReceiveBuffer();
  #isWanted = false;
  /** How it ended, to be told once everything received is read: `EOF` or the text of an error. */
  #endText: string | undefined;
  #unsent: Buffer[] = [];
  #sent: ((error?: Error | null) => void) | undefined;
  #isWaiting = false;
  #isProbing = false;

  constructor({ target, flowControl, outlet }: TunnelStreamOptions) {
    super({ allowHalfOpen: false });
    this.target = target;
    this.#outlet = outlet;
    this.#gate = new FlowGate(flowControl);
  }

  /** Bytes received that nobody has asked for yet. */
  get bufferedBytes(): number {
    return this.#received.length;
  }

  // What the session calls.

  onData(payload: Buffer): void {
    if (this.#isOver) return;
    const own = payload.length < OWNED_MIN_BYTES ? Buffer.from(payload) : payload;
    if (this.#isWanted && this.#received.length === 0) {
      this.#isWanted = this.push(own);
      this.#afterRead();
      return;
    }
    this.#received.append(own);
    if (this.#gate.shouldPause(this.#received.length)) this.#outlet.flow("pause");
    if (this.#received.length > BUFFERED_MAX_BYTES)
      this.destroy(new TunnelStreamError("Cannot receive more: peer does not heed Pause"));
  }

  onPause(): void {
    if (this.#gate.onPause(this.#received.length)) this.#outlet.flow("resume");
  }

  onResume(): void {
    this.#gate.onResume();
    this.#send();
  }

  /** The other side is gone; `text` says why. */
  onEnd(text: string): void {
    if (this.#isOver) return;
    this.#endText = text;
    this.#drop();
    this.#finish();
  }

  // What node:stream calls.

  override _read(): void {
    this.#isWanted = true;
    let hasRead = false;
    while (this.#isWanted) {
      const chunk = this.#received.shift();
      if (chunk === undefined) break;
      hasRead = true;
      this.#isWanted = this.push(chunk);
    }
    if (hasRead) this.#afterRead();
    this.#finish();
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#take([chunk], done);
  }

  override _writev(chunks: { chunk: Buffer }[], done: (error?: Error | null) => void): void {
    this.#take(
      chunks.map(({ chunk }) => chunk),
      done,
    );
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#close(EOF);
    done();
    this.#finish();
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#close(error?.message ?? EOF);
    this.#received.clear();
    this.#drop();
    done(error);
  }

  // Its own steps.

  get #isOver(): boolean {
    return this.#endText !== undefined;
  }

  #close(text: string): void {
    if (this.#isOver) return;
    this.#endText = text;
    this.#outlet.over(text);
  }

  /** Tells the reader about the end, after the last byte. */
  #finish(): void {
    if (!this.#isOver || this.#received.length > 0 || this.readableEnded || this.destroyed) return;
    if (this.#endText === EOF) this.push(null);
    else this.destroy(new TunnelStreamError(this.#endText));
  }

  #afterRead(): void {
    if (this.#isOver || !this.#gate.shouldResume(this.#received.length)) return;
    this.#outlet.flow("resume");
    this.#send();
  }

  #take(chunks: Buffer[], done: (error?: Error | null) => void): void {
    this.#unsent = chunks.filter((chunk) => chunk.length > 0);
    this.#sent = done;
    if (this.#isOver) this.#drop();
    else this.#send();
  }

  #send(): void {
    while (!this.#isWaiting && this.#sent !== undefined && this.#gate.maySend) {
      if (this.#outlet.turns.mustWait) this.#queue();
      else this.#sendTurn();
    }
    if (this.#gate.isShared && this.#sent !== undefined && !this.#gate.maySend && !this.#isProbing) void this.#probe();
  }

  /** Finds out whether a peer that has asked for silence has room again. Never rejects. */
  async #probe(): Promise<void> {
    this.#isProbing = true;
    while (this.#sent !== undefined && !this.#gate.maySend) {
      await sleep(this.#gate.probeAfterMs);
      if (this.#unsent.length === 0 || this.#gate.maySend) break;
      const step = this.#gate.probe();
      if (step !== "free") this.#sendPayload(step.bytes);
      if (this.#unsent.length === 0) this.#drop();
    }
    this.#isProbing = false;
    this.#send();
  }

  #queue(): void {
    this.#isWaiting = true;
    this.#outlet.turns.wait(() => {
      this.#isWaiting = false;
      this.#sendTurn();
      this.#send();
    });
  }

  #sendTurn(): void {
    for (let frame = 0; frame < FRAMES_PER_TURN && this.#unsent.length > 0; frame++) {
      if (!this.#gate.maySend) return;
      this.#sendPayload(DATA_BYTES_MAX);
    }
    if (this.#unsent.length === 0) this.#drop();
  }

  #sendPayload(bytesMax: number): void {
    const payload = this.#nextPayload(bytesMax);
    this.#outlet.data(payload);
    this.#gate.onSent(payload.length);
  }

  /** The next bytes to send, small writes together. */
  #nextPayload(bytesMax: number): Buffer {
    const [first = Buffer.alloc(0)] = this.#unsent;
    if (first.length > bytesMax) {
      this.#unsent[0] = first.subarray(bytesMax);
      return first.subarray(0, bytesMax);
    }
    let bytes = 0;
    const fitting = this.#unsent.findIndex((chunk) => (bytes += chunk.length) > bytesMax);
    const parts = this.#unsent.splice(0, fitting < 0 ? this.#unsent.length : fitting);
    return parts.length === 1 ? first : Buffer.concat(parts);
  }

  /** Completes the write in hand; what is left of it has nowhere to go. */
  #drop(): void {
    const done = this.#sent;
    this.#unsent = [];
    this.#sent = undefined;
    done?.();
  }
}
