/** Keeps messages for one reader that can do without them, because it can ask for them again. */
export interface BacklogHolder {
  readonly waitingBytes: number;
  /** Drops what waits and tells {@link Backlog.remove} so. */
  cutOff(): void;
}

/** Memory for what clients have been answered or told and have not read yet: watches and answers of all connections. */
export class Backlog {
  readonly #limitBytes: number;
  readonly #holders = new Set<BacklogHolder>();
  #heldBytes = 0;
  #queuedBytes: () => number = () => 0;
  #isDue = false;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /** `queuedBytes`: what waits in the queues of the transport, if it can tell. */
  include(queuedBytes: () => number): void {
    this.#queuedBytes = queuedBytes;
  }

  /** A quarter of the memory is used by watches: what can be sent later should be. */
  get isStrained(): boolean {
    return this.#heldBytes * 4 > this.#limitBytes;
  }

  /**
   * `holder` keeps so much more. Where that is still too much when everybody had a chance to read, the fullest holders are
   * cut off, until it fits.
   */
  add(holder: BacklogHolder, bytes: number): void {
    this.#holders.add(holder);
    this.#heldBytes += bytes;
    if (!this.#isOverfull || this.#isDue) return;
    this.#isDue = true;
    setImmediate(() => this.#cut());
  }

  remove(holder: BacklogHolder, bytes: number): void {
    this.#heldBytes -= bytes;
    if (holder.waitingBytes === 0) this.#holders.delete(holder);
  }

  /**
   * Whether a client may be answered that has not read so much of what it was sent: half of the memory, an eighth when all of it
   * is used, nothing beyond twice of it.
   */
  hasRoomBehind(unreadBytes: number): boolean {
    const used = (this.#heldBytes + this.#queuedBytes()) / this.#limitBytes;
    if (used > 2) return unreadBytes === 0;
    return unreadBytes <= this.#limitBytes / (used > 1 ? 8 : 2);
  }

  #cut(): void {
    this.#isDue = false;
    while (this.#isOverfull) {
      const fullest = this.#fullest();
      // A single message may be larger than all: whoever has it would only come back for it.
      if (fullest === undefined || this.#heldBytes - fullest.waitingBytes <= this.#limitBytes / 16) return;
      fullest.cutOff();
    }
  }

  /** Half of the memory is theirs, whatever unread answers take. */
  get #isOverfull(): boolean {
    const isTheirs = this.#heldBytes <= this.#limitBytes / 2;
    return !isTheirs && this.#heldBytes + this.#queuedBytes() > this.#limitBytes;
  }

  #fullest(): BacklogHolder | undefined {
    let fullest: BacklogHolder | undefined;
    for (const holder of this.#holders) if (holder.waitingBytes > (fullest?.waitingBytes ?? 0)) fullest = holder;
    return fullest;
  }
}
