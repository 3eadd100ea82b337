import { open, type FileHandle } from "node:fs/promises";
import { isAbsent } from "@k3s/files";
import {
  addFrameToSum,
  FRAME_HEADER_BYTES,
  FRAME_SALT_AT,
  readWalFrame,
  readWalHeader,
  WAL_HEADER_BYTES,
  type WalFrame,
  type WalHeader,
} from "./wal-format.ts";

const CHUNK_BYTES = 512 * 1024;
/** What a disk writes as a whole. */
const SECTOR_BYTES = 512;
/** A log that changes while it is read belongs to a program that is using it: it is looked at again this often. */
const ATTEMPTS = 3;

/**
 * What SQLite will make of a write-ahead log. It takes the frames up to the first one that does not fit, without a word.
 *
 * `sound`: nothing that was committed stands behind that. `torn`: the last transaction is not whole although its end is there: the
 * power failed before it was on the disk, or it was damaged later. `damaged`: transactions behind the first bad frame would be lost.
 */
export interface WalFindings {
  readonly state: "sound" | "torn" | "damaged";
  /** Whether a commit stands where SQLite does not get to, be it that of a last transaction that is half written. */
  readonly hasRest: boolean;
  /** Whether SQLite will find a transaction in it. */
  readonly hasCommits: boolean;
}

const NOTHING: WalFindings = { state: "sound", hasRest: false, hasCommits: false };

/** Checks the log at `path` as a crash left it, before SQLite opens it. A missing one is sound. */
export async function checkWal(path: string): Promise<WalFindings> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const findings = await checkOnce(path);
    if (findings !== undefined) return findings;
  }
  return { state: "sound", hasRest: false, hasCommits: true };
}

/** Undefined: the file changed meanwhile, and something seems to be wrong with it. */
async function checkOnce(path: string): Promise<WalFindings | undefined> {
  let file: FileHandle;
  try {
    file = await open(path, "r");
  } catch (error) {
    if (isAbsent(error)) return NOTHING;
    throw error;
  }
  try {
    const before = await file.stat({ bigint: true });
    const findings = await checkFile(file, Number(before.size));
    if (findings.state === "sound") return findings;
    const after = await file.stat({ bigint: true });
    return after.mtimeNs === before.mtimeNs && after.size === before.size ? findings : undefined;
  } finally {
    await file.close();
  }
}

async function checkFile(file: FileHandle, size: number): Promise<WalFindings> {
  if (size <= WAL_HEADER_BYTES + FRAME_HEADER_BYTES) return NOTHING; // not one frame: no transaction
  const start = Buffer.alloc(WAL_HEADER_BYTES);
  await file.read(start, 0, WAL_HEADER_BYTES, 0);
  const header = readWalHeader(new DataView(start.buffer, start.byteOffset, WAL_HEADER_BYTES));
  if (header === undefined) return { ...NOTHING, state: (await isBlank(file, size)) ? "sound" : "damaged" };
  const chain = new WalChain(header);
  const frameBytes = FRAME_HEADER_BYTES + header.pageBytes;
  const chunk = Buffer.alloc(Math.max(1, Math.floor(CHUNK_BYTES / frameBytes)) * frameBytes);
  for (let at = WAL_HEADER_BYTES; at + frameBytes <= size; at += chunk.length) {
    const { bytesRead } = await file.read(chunk, 0, chunk.length, at);
    for (let offset = 0; offset + frameBytes <= bytesRead; offset += frameBytes)
      chain.add(new DataView(chunk.buffer, chunk.byteOffset + offset, frameBytes), at + offset);
  }
  return chain.findings();
}

/** Follows the frames as SQLite does when it recovers a log, and goes on where SQLite stops. */
class WalChain {
  readonly #header: WalHeader;
  readonly #sum: { first: number; second: number };
  #hasCommits = false;
  /** Whether the frame where SQLite stops is a commit; undefined: it has not stopped. */
  #isBadCommit: boolean | undefined;
  #commitsBehind = 0;

  constructor(header: WalHeader) {
    this.#header = header;
    this.#sum = { ...header.sum };
  }

  /** The next frame, which begins at the byte `at` of the file. */
  add(view: DataView, at: number): void {
    const frame = readWalFrame(view);
    if (this.#isBadCommit !== undefined) this.#commitsBehind += this.#isCommit(frame, at) ? 1 : 0;
    else if (!this.#fits(frame, view)) this.#isBadCommit = this.#isCommit(frame, at);
    else if (frame.isCommit) this.#hasCommits = true;
  }

  findings(): WalFindings {
    const hasCommits = this.#hasCommits;
    const lost = this.#commitsBehind + (this.#isBadCommit === true ? 1 : 0);
    if (this.#commitsBehind === 0) return { state: "sound", hasRest: lost > 0, hasCommits };
    return { state: lost === 1 ? "torn" : "damaged", hasRest: true, hasCommits };
  }

  #fits(frame: WalFrame, view: DataView): boolean {
    if (frame.page === 0 || frame.salt !== this.#header.salt) return false;
    addFrameToSum(this.#sum, view, this.#header.isLittleEndian);
    return this.#sum.first === frame.sum.first && this.#sum.second === frame.sum.second;
  }

  /** Where the salt begins a sector, a power failure can leave it behind what an earlier use of the file wrote into the sector before. */
  #isCommit({ page, salt, isCommit }: WalFrame, at: number): boolean {
    const isMixture = (at + FRAME_SALT_AT) % SECTOR_BYTES === 0;
    return page !== 0 && isCommit && salt === this.#header.salt && !isMixture;
  }
}

/** Whether nothing was ever written: space that a file system gave out before a power failure, and no data. */
async function isBlank(file: FileHandle, size: number): Promise<boolean> {
  const chunk = Buffer.alloc(CHUNK_BYTES);
  for (let at = 0; at < size; at += CHUNK_BYTES) {
    const { bytesRead } = await file.read(chunk, 0, CHUNK_BYTES, at);
    if (chunk.subarray(0, bytesRead).some((byte) => byte !== 0)) return false;
  }
  return true;
}
