/** What a session is told by its channel. Nothing more comes after onClose. */
export interface ChannelListener {
  onMessage(message: Buffer): void;
  /** The peer sent what is no binary message. */
  onStrangeMessage(): void;
  /** A sign of life: a ping or its answer. */
  onAlive(): void;
  /** {@link MessageChannel.isCongested} is false again. */
  onDrain(): void;
  onClose(error: Error | undefined): void;
}

/** An ordered, reliable way to exchange binary messages: a websocket. */
export interface MessageChannel {
  /**
   * Queues the message; never waits, and does nothing once the channel is closed. `done` is called when the memory of the message is
   * no longer needed; perhaps never.
   */
  send(message: Buffer, done?: () => void): void;
  /** So much is queued that whoever has data has to wait for onDrain. */
  readonly isCongested: boolean;
  ping(): void;
  /** Lets go out what is queued, then closes. */
  close(): void;
  /** Closes at once. */
  terminate(): void;
  /** To be called once, before anything can have arrived. */
  listen(listener: ChannelListener): void;
}
