import type { Readable } from "node:stream";
import { redactText, type Logger, type LogLevel } from "@k3s/log";
import { GoroutineDump } from "./goroutine-dump.ts";
import { LineSplitter } from "./line-splitter.ts";
import { parseLogLine } from "./parse-log-line.ts";
import type { RotatingFile } from "./rotating-file.ts";

/** The lowest level whose lines go to the log; lines of a form that is not understood are `info`. */
export type OutputEcho = LogLevel | "none";

export interface OutputSinks {
  /** Carries the fields of the child and the stream. */
  readonly log: Logger;
  readonly echo: OutputEcho;
  /** Takes the bytes as they come. */
  readonly raw: RotatingFile | undefined;
  /** Told of each line that is shown or kept, redacted; not of the goroutines of a dump that did not cause it. */
  readonly onLine: (line: string) => void;
}

const LEVELS: readonly OutputEcho[] = ["debug", "info", "warn", "error", "none"];
/** Longer lines are cut: Kubernetes logs whole objects at high verbosity. */
const MAX_LINE_BYTES = 16 * 1024;
/** More than a component says at its most verbose; beyond that a child in a loop would take our CPU with it. */
const MAX_LINES_PER_SECOND = 5000;
const MAX_CHARACTERS_PER_SECOND = 4 * 1024 * 1024;

/**
 * Reads a child's output to its end, one chunk at a time: a slow sink slows the child down instead of filling our
 * memory. Never rejects; resolves also when the stream is destroyed.
 */
export async function followOutput(stream: Readable, sinks: OutputSinks): Promise<void> {
  const splitter = new LineSplitter(MAX_LINE_BYTES);
  const gate = new FloodGate(sinks);
  try {
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      for (const line of splitter.push(chunk)) gate.pass(line);
      await sinks.raw?.write(chunk);
      await nextTurn();
    }
  } catch {
    // The stream was cut: by us, after the child's end, or by the kernel. The exit status says what is to be known.
  }
  const rest = splitter.end();
  if (rest !== undefined) gate.pass(rest);
  gate.settle();
}

/** A child that writes without pause would otherwise keep its turn of the event loop. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

class FloodGate {
  readonly #sinks: OutputSinks;
  readonly #dump = new GoroutineDump();
  #windowEndsAt = 0;
  #passedLines = 0;
  #passedCharacters = 0;
  #droppedLines = 0;

  constructor(sinks: OutputSinks) {
    this.#sinks = sinks;
  }

  pass(line: string): void {
    const now = performance.now();
    if (now >= this.#windowEndsAt) {
      this.settle();
      this.#windowEndsAt = now + 1000;
      this.#passedLines = 0;
      this.#passedCharacters = 0;
    }
    if (this.#passedLines >= MAX_LINES_PER_SECOND || this.#passedCharacters >= MAX_CHARACTERS_PER_SECOND) {
      this.#droppedLines++;
      return;
    }
    this.#passedLines++;
    this.#passedCharacters += line.length;
    this.#emit(line);
  }

  /** Says how much was left out, if anything was. */
  settle(): void {
    if (this.#droppedLines === 0) return;
    this.#say("warn", { droppedLines: this.#droppedLines }, "child writes too fast, lines were left out");
    this.#droppedLines = 0;
  }

  #emit(line: string): void {
    const { level, message, ...fields } = parseLogLine(line);
    if (message === "") return;
    const text = redactText(message);
    if (this.#dump.isIdle(message)) {
      this.#say("debug", fields, text);
      return;
    }
    this.#sinks.onLine(text);
    this.#say(level, fields, text);
  }

  #say(level: LogLevel, fields: Readonly<Record<string, unknown>>, message: string): void {
    const { log, echo } = this.#sinks;
    if (LEVELS.indexOf(level) >= LEVELS.indexOf(echo)) log.log(level, fields, message);
  }
}
