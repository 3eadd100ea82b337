/** A receiver asks for silence above this many buffered bytes (remotedialer: MaxBuffer) … */
const PAUSE_ABOVE_BYTES = 2 ** 21;
/** … and for more when a read leaves less than this. */
const RESUME_BELOW_BYTES = 2 ** 18;
/** What a probe costs a peer that is full. */
const PROBE_BYTES = 256;
/** What is sent at a time while our own reader is slow: the peer cannot say Pause then. */
const TRICKLE_BYTES = 32 * 1024;
const PROBE_MIN_MS = 20;
const PROBE_MAX_MS = 320;
/** After so much without another Pause, the next one is probed quickly again. */
const CALM_BYTES = 2 ** 20;

/**
 * `perDirection`: what a side sends depends on the other side's reader alone, so two full buffers cannot wait for each other.
 * `shared`: the peer is remotedialer, which keeps one flag for both directions of a connection. A peer that has sent Pause sends nothing
 * itself, sends no second Pause, and forgets the first when it is sent Resume. So it is let go at once, and asked with a few bytes
 * from time to time whether it is still full: then it says Pause again.
 */
export type FlowControl = "shared" | "perDirection";

/** What a blocked sender does after its wait: send so many bytes, or all of it. */
export type ProbeStep = { readonly bytes: number } | "free";

/** Decides for one connection when to send Pause and Resume, and when Data may be sent. */
export class FlowGate {
  readonly isShared: boolean;
  #hasPausedPeer = false;
  /** Stays until Resume is sent: a Resume of the peer may have crossed our Pause, and the peer is silent then. */
  #owesResume = false;
  #isPausedByPeer = false;
  #hasProbed = false;
  #probeAfterMs = PROBE_MIN_MS;
  #calmBytes = 0;

  constructor(control: FlowControl) {
    this.isShared = control === "shared";
  }

  get maySend(): boolean {
    return !this.#isPausedByPeer && !(this.isShared && this.#hasPausedPeer);
  }

  /** True means: send Resume. */
  onPause(bufferedBytes: number): boolean {
    if (this.#hasProbed || this.#isPausedByPeer) this.#waitLonger();
    this.#isPausedByPeer = true;
    this.#hasProbed = false;
    this.#calmBytes = 0;
    if (!this.isShared) return false;
    // It is silent now whether we have asked for that or not.
    this.#hasPausedPeer = bufferedBytes >= RESUME_BELOW_BYTES;
    this.#owesResume = this.#hasPausedPeer;
    return !this.#hasPausedPeer;
  }

  onResume(): void {
    this.#isPausedByPeer = false;
    this.#hasProbed = false;
    // A peer with one flag resumes in answer to our own Pause as well: what it sends then has to be paused again.
    if (this.isShared) this.#hasPausedPeer = false;
  }

  /** To be told of what is sent. */
  onSent(bytes: number): void {
    this.#calmBytes += bytes;
    if (this.#calmBytes < CALM_BYTES) return;
    this.#probeAfterMs = PROBE_MIN_MS;
    this.#hasProbed = false;
  }

  /** To be asked when data has been buffered; true means: send Pause. */
  shouldPause(bufferedBytes: number): boolean {
    if (this.#hasPausedPeer || bufferedBytes <= PAUSE_ABOVE_BYTES) return false;
    this.#hasPausedPeer = true;
    this.#owesResume = true;
    return true;
  }

  /** To be asked after a read; true means: send Resume. */
  shouldResume(bufferedBytes: number): boolean {
    if (!this.#owesResume || bufferedBytes >= RESUME_BELOW_BYTES) return false;
    this.#hasPausedPeer = false;
    this.#owesResume = false;
    return true;
  }

  /** How long a sender that may not send waits before {@link probe}, in "shared" only. */
  get probeAfterMs(): number {
    return this.#probeAfterMs;
  }

  /** What to do after the wait; a peer that had room for the last probe has been silent since. */
  probe(): ProbeStep {
    if (this.#hasPausedPeer) {
      this.#waitLonger();
      return { bytes: TRICKLE_BYTES };
    }
    if (this.#hasProbed) {
      this.#isPausedByPeer = false;
      return "free";
    }
    this.#hasProbed = true;
    return { bytes: PROBE_BYTES };
  }

  #waitLonger(): void {
    this.#probeAfterMs = Math.min(this.#probeAfterMs * 2, PROBE_MAX_MS);
  }
}
