/** A receiver asks for silence above this many buffered bytes (remotedialer: MaxBuffer) … */
const PAUSE_ABOVE_BYTES = 2 ** 21;
/** … and for more when a read leaves less than this. */
const RESUME_BELOW_BYTES = 2 ** 18;

/**
 * `shared`: remotedialer's own way, one flag for both directions of a connection: who has asked for silence keeps it too.
 * `perDirection`: what a side sends depends on the other side's reader alone, so two full buffers cannot wait for each other.
 * Both speak with the same frames; the second needs a peer that does the same.
 */
export type FlowControl = "shared" | "perDirection";

/** Decides for one connection when to send Pause and Resume, and when Data may be sent. */
export class FlowGate {
  readonly #isShared: boolean;
  #hasPausedPeer = false;
  #isPausedByPeer = false;

  constructor(control: FlowControl) {
    this.#isShared = control === "shared";
  }

  get maySend(): boolean {
    return !this.#isPausedByPeer;
  }

  onPause(): void {
    this.#isPausedByPeer = true;
    if (this.#isShared) this.#hasPausedPeer = true;
  }

  onResume(): void {
    this.#isPausedByPeer = false;
    // A peer with one flag may resume in answer to our own Pause: what it sends then has to be paused again.
    if (this.#isShared) this.#hasPausedPeer = false;
  }

  /** To be asked when data has been buffered; true means: send Pause. */
  shouldPause(bufferedBytes: number): boolean {
    if (this.#hasPausedPeer || bufferedBytes <= PAUSE_ABOVE_BYTES) return false;
    this.#set(true);
    return true;
  }

  /** To be asked after a read; true means: send Resume. */
  shouldResume(bufferedBytes: number): boolean {
    if (!this.#hasPausedPeer || bufferedBytes >= RESUME_BELOW_BYTES) return false;
    this.#set(false);
    return true;
  }

  #set(isPaused: boolean): void {
    this.#hasPausedPeer = isPaused;
    if (this.#isShared) this.#isPausedByPeer = isPaused;
  }
}
