import type { Socket } from "node:net";
import type { Dial } from "./dial.ts";

/** What a race needs of the load balancer. */
export interface DialCourse {
  /** The best server that is not in `tried`, as the list is at this moment. */
  next(tried: ReadonlySet<string>): string | undefined;
  /** Whether the server may be given time before the next one is tried as well. */
  isPromising(address: string): boolean;
  readonly connect: Dial;
  /** A server refused, did not answer in time, or was overtaken after its time; `startedMs` is of performance.now(). */
  failed(address: string, startedMs: number, error: Error): void;
  /** The first that connected. False: it does not count, the race goes on. */
  won(address: string, startedMs: number, socket: Socket): boolean;
  /** No server is left. Not called after `won` gave true, nor after cancel(). */
  lost(): void;
}

interface Attempt {
  readonly startedMs: number;
  readonly socket: Socket;
  readonly hasTime: boolean;
  /** The next server waits for this one. */
  isAwaited: boolean;
}

/** What a promising server gets before the next one is tried as well. */
const HEAD_START_MS = 2_000;
/** What the others get: one stalled server is enough to be in a hurry. */
const SHORT_START_MS = 250;
/** Timers may fire a little early. */
const TIMER_SLACK_MS = 50;
/** Of one attempt in all, as upstream has it. */
const LIMIT_MS = 10_000;

/**
 * Finds a server for one client: the best one first, the next one when that fails or takes long, until one connects.
 * Each server is tried once. Whoever loses is closed.
 */
export class DialRace {
  readonly #course: DialCourse;
  readonly #tried = new Set<string>();
  readonly #attempts = new Map<string, Attempt>();
  #isOver = false;

  constructor(course: DialCourse) {
    this.#course = course;
  }

  start(): void {
    this.#tryNext();
  }

  /** The list has changed: leaves servers that were removed, and waits no longer for one that failed elsewhere. Not from within a callback. */
  reconsider(has: (address: string) => boolean): void {
    if (this.#isOver) return;
    for (const [address, attempt] of [...this.#attempts]) {
      if (!has(address)) {
        this.#attempts.delete(address);
        attempt.socket.destroy();
      } else if (attempt.hasTime && !this.#course.isPromising(address)) attempt.isAwaited = false;
    }
    const isWaiting = [...this.#attempts.values()].some(({ isAwaited }) => isAwaited);
    if (!isWaiting) this.#tryNext();
  }

  /** Ends the race; no callback comes after this. */
  cancel(): void {
    this.#isOver = true;
    for (const { socket } of this.#attempts.values()) socket.destroy();
    this.#attempts.clear();
  }

  #tryNext(): void {
    if (this.#isOver) return;
    const address = this.#course.next(this.#tried);
    if (address === undefined) {
      if (this.#attempts.size > 0) return;
      this.#isOver = true;
      this.#course.lost();
      return;
    }
    const hasTime = this.#tried.size === 0 && this.#course.isPromising(address);
    this.#tried.add(address);
    this.#attempt(address, hasTime);
  }

  #attempt(address: string, hasTime: boolean): void {
    const startMs = hasTime ? HEAD_START_MS : SHORT_START_MS;
    const socket = this.#course.connect(address, () => this.#connected(address, attempt));
    const attempt: Attempt = { startedMs: performance.now(), socket, hasTime, isAwaited: true };
    this.#attempts.set(address, attempt);
    socket.on("error", (error) => this.#fail(address, attempt, error));
    socket.setTimeout(startMs);
    socket.once("timeout", () => {
      attempt.isAwaited = false;
      socket.setTimeout(LIMIT_MS - startMs);
      socket.once("timeout", () => socket.destroy(new Error(`No answer within ${LIMIT_MS / 1000} s`)));
      this.#tryNext();
    });
  }

  #fail(address: string, attempt: Attempt, error: Error): void {
    if (this.#attempts.get(address) !== attempt) return;
    this.#attempts.delete(address);
    this.#course.failed(address, attempt.startedMs, error);
    this.#tryNext();
  }

  #connected(address: string, attempt: Attempt): void {
    const { socket, startedMs } = attempt;
    if (this.#attempts.get(address) !== attempt) return void socket.destroy();
    this.#attempts.delete(address);
    this.#judgeOvertaken();
    if (this.#isOver) return void socket.destroy();
    for (const event of ["error", "timeout"]) socket.removeAllListeners(event);
    socket.setTimeout(0);
    if (this.#course.won(address, startedMs, socket)) this.cancel();
    else this.#tryNext();
  }

  /** Told before the winner is, so that a stalled server is not active any more when the next one becomes so. */
  #judgeOvertaken(): void {
    const lateMs = performance.now() - HEAD_START_MS + TIMER_SLACK_MS;
    for (const [address, { startedMs, socket }] of [...this.#attempts]) {
      if (startedMs > lateMs) continue;
      this.#attempts.delete(address);
      socket.destroy();
      this.#course.failed(address, startedMs, new Error(`No answer within ${HEAD_START_MS / 1000} s`));
    }
  }
}
