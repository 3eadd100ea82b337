import { open as openFile, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { makeDirectory } from "@k3s/files";
import { deadline, retry } from "@k3s/async";
import { ComponentError } from "./errors.ts";
import { absentAsUndefined, hashFile, setAside } from "./verify.ts";

export interface DownloadPolicy {
  /** A transfer without a byte for this long is broken off and tried again. */
  readonly stallMs: number;
  readonly delayMinMs: number;
  readonly delayMaxMs: number;
  /** Failures in a row, without a byte gained in between, after which to give up. */
  readonly maxFailures: number;
}

export const DEFAULT_DOWNLOAD_POLICY: DownloadPolicy = {
  stallMs: 30_000,
  delayMinMs: 500,
  delayMaxMs: 10_000,
  maxFailures: 5,
};

export interface FetchOptions {
  readonly url: string;
  readonly policy: DownloadPolicy;
  /** Told why something is done again. */
  readonly onRetry?: (reason: string) => void;
  readonly signal?: AbortSignal | undefined;
}

export interface DownloadOptions extends FetchOptions {
  /** Exists only when complete and verified; a partial download waits beside it as `<path>.part`. */
  readonly path: string;
  /** Expected SHA-256 as hex. */
  readonly sha256: string;
  readonly onProgress?: (doneBytes: number, totalBytes: number | undefined) => void;
}

/** The server said something that another attempt will not change. */
class FinalAnswer extends Error {
  override readonly name = "FinalAnswer";
}

const MAX_TEXT_BYTES = 1 << 20;

/** Fetches a small text file. Rejects with ERR_COMPONENT_DOWNLOAD. */
export async function fetchText(options: FetchOptions): Promise<string> {
  return persist(options, async (watch) => {
    const response = await request(options.url, {}, watch.signal);
    let text = "";
    for await (const chunk of bodyOf(response)) {
      watch.touch();
      text += Buffer.from(chunk).toString();
      if (text.length > MAX_TEXT_BYTES) throw new FinalAnswer("the file is too large for a list of checksums");
    }
    return text;
  });
}

/**
 * Downloads a file unless it is there with the right content, going on where an earlier attempt stopped.
 * A whole file with another checksum is kept as `<path>.part.bad-<time>` and rejected with ERR_COMPONENT_CHECKSUM.
 */
export async function download(options: DownloadOptions): Promise<void> {
  const { url, path, sha256, onRetry } = options;
  if ((await sizeOf(path)) > 0) {
    if ((await hashFile(path)) === sha256) return;
    onRetry?.(`the stored file has another checksum, kept as "${await setAside(path)}"`);
  }
  const part = `${path}.part`;
  await makeDirectory(dirname(path));
  const wasResumed = (await sizeOf(part)) > 0;
  await persist(options, (watch) => transfer(options, part, watch));
  if (wasResumed && (await hashFile(part)) !== sha256) {
    onRetry?.("the checksum is wrong after resuming, downloading the whole file");
    await rm(part);
    await persist(options, (watch) => transfer(options, part, watch));
  }
  if ((await hashFile(part)) !== sha256) throw ComponentError.checksum({ path: url, keptAs: await setAside(part) });
  await rename(part, path);
}

interface StallWatch {
  /** Aborts after silence, or with the caller's signal. */
  readonly signal: AbortSignal;
  /** Something arrived. `keptBytes`: how much of the file is safe on disk by now. */
  touch(keptBytes?: number): void;
}

/** Repeats `attempt` until it succeeds, until it failed too often without progress, or until an answer is final. */
async function persist<T>(options: FetchOptions, attempt: (watch: StallWatch) => Promise<T>): Promise<T> {
  const { url, policy, onRetry, signal = new AbortController().signal } = options;
  let failures = 0;
  let best = 0;
  const onKept = (bytes: number) => {
    if (bytes > best) failures = 0; // a server that always sends the same beginning makes no progress
    best = Math.max(best, bytes);
  };
  const task = async () => {
    using watch = watchStall(policy.stallMs, signal, onKept);
    try {
      return await attempt(watch);
    } catch (error) {
      failures++;
      throw watch.signal.aborted ? watch.signal.reason : error;
    }
  };
  const isRetryable = (error: unknown) => !(error instanceof FinalAnswer) && failures < policy.maxFailures;
  try {
    const told = (error: unknown) => onRetry?.(`${reasonOf(error)}, trying again`);
    return await retry(task, { ...policy, isRetryable, onRetry: told }, signal);
  } catch (error) {
    signal.throwIfAborted();
    throw ComponentError.download(url, error instanceof Error ? new Error(reasonOf(error), { cause: error }) : error);
  }
}

function watchStall(ms: number, parent: AbortSignal, onKept: (bytes: number) => void): StallWatch & Disposable {
  const controller = new AbortController();
  const begin = () => {
    const limit = deadline(ms, "Waiting for the next byte", parent);
    limit.addEventListener("abort", () => controller.abort(limit.reason), { once: true });
    return limit;
  };
  let limit = begin();
  const touch = (keptBytes = 0) => {
    limit[Symbol.dispose]();
    limit = begin();
    onKept(keptBytes);
  };
  return { signal: controller.signal, touch, [Symbol.dispose]: () => limit[Symbol.dispose]() };
}

async function transfer(options: DownloadOptions, part: string, watch: StallWatch): Promise<void> {
  const present = await sizeOf(part);
  const response = await request(options.url, present > 0 ? { Range: `bytes=${present}-` } : {}, watch.signal);
  if (response.status === 416) return confirmComplete(response, part, present);
  const offset = response.status === 206 ? present : 0;
  const length = Number(response.headers.get("content-length") ?? Number.NaN);
  const total = Number.isNaN(length) ? undefined : offset + length;
  let done = offset;
  await using file = await openFile(part, offset > 0 ? "a" : "w");
  for await (const chunk of bodyOf(response)) {
    await file.write(chunk); // at once: what has arrived survives a cut
    done += chunk.length;
    watch.touch(done);
    options.onProgress?.(done, total);
  }
  if (total !== undefined && done !== total) throw new Error(`the connection ended after ${done} of ${total} bytes`);
}

/** "Range not satisfiable": fine when the partial file is the whole one already, else it has to go. */
async function confirmComplete(response: Response, part: string, present: number): Promise<void> {
  await response.body?.cancel();
  const whole = Number(/\/(\d+)$/.exec(response.headers.get("content-range") ?? "")?.[1]);
  if (whole === present) return;
  await rm(part);
  throw new Error("the partial file does not fit the server's");
}

async function request(url: string, headers: Record<string, string>, signal: AbortSignal): Promise<Response> {
  const response = await fetch(url, { headers: { ...headers, "Accept-Encoding": "identity" }, signal });
  if (response.ok || response.status === 416) return response;
  await response.body?.cancel();
  const text = `the server answered ${response.status} ${response.statusText}`.trim();
  const isPassing = response.status >= 500 || response.status === 408 || response.status === 429;
  throw isPassing ? new Error(text) : new FinalAnswer(text);
}

function bodyOf(response: Response): AsyncIterable<Uint8Array> {
  if (response.body === null) throw new Error("the server sent no content");
  return response.body;
}

async function sizeOf(path: string): Promise<number> {
  return (await stat(path).catch(absentAsUndefined))?.size ?? 0;
}

/** fetch() says "fetch failed" and hides the reason in the cause. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { cause } = error;
  const detail = cause instanceof Error && cause.message !== "" ? `: ${cause.message}` : "";
  return `${error.message}${detail}`;
}
