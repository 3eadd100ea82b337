import type { ChannelListener, MessageChannel } from "../../src/message-channel.ts";

/** One end of a pair of channels in memory; what is sent arrives in a later turn of the event loop. */
export class TestChannel implements MessageChannel {
  isCongested = false;
  pings = 0;
  /** What this end has sent, in order. */
  readonly sent: Buffer[] = [];
  peer: TestChannel | undefined;
  #listener: ChannelListener | undefined;
  #isClosed = false;

  listen(listener: ChannelListener): void {
    this.#listener = listener;
  }

  send(message: Buffer, done?: () => void): void {
    if (this.#isClosed) return;
    const copy = Buffer.from(message);
    done?.();
    this.sent.push(copy);
    const { peer } = this;
    if (peer !== undefined) setImmediate(() => peer.receive(copy));
  }

  ping(): void {
    this.pings++;
    const { peer } = this;
    if (peer !== undefined) setImmediate(() => peer.alive());
  }

  /** As if the peer had sent it. */
  receive(message: Buffer): void {
    if (!this.#isClosed) this.#listener?.onMessage(message);
  }

  receiveText(): void {
    this.#listener?.onStrangeMessage();
  }

  alive(): void {
    this.#listener?.onAlive();
  }

  drain(): void {
    this.isCongested = false;
    this.#listener?.onDrain();
  }

  close(): void {
    this.terminate();
  }

  terminate(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const { peer } = this;
    setImmediate(() => {
      this.#listener?.onClose(undefined);
      peer?.terminate();
    });
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }
}

/** Two ends of one channel. */
export function channelPair(): readonly [TestChannel, TestChannel] {
  const [a, b] = [new TestChannel(), new TestChannel()];
  a.peer = b;
  b.peer = a;
  return [a, b];
}
