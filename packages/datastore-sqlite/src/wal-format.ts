/**
 * Layout of SQLite's write-ahead log: sqlite.org/fileformat2.html, section 4. All numbers are big-endian; only the words that a
 * checksum adds up are in the byte order that the magic number names.
 */
export const WAL_HEADER_BYTES = 32;
/** In front of each page. */
export const FRAME_HEADER_BYTES = 24;
/** Where the salt stands in a frame, behind its page and whether it is a commit. */
export const FRAME_SALT_AT = 8;
/** What a frame's checksum covers of its header. */
const FRAME_SUMMED_BYTES = 8;
const HEADER_SUMMED_BYTES = 24;
const MAGIC_LITTLE_ENDIAN = 0x377f0682;
const MAGIC_BIG_ENDIAN = 0x377f0683;
const VERSION = 3007000;
const PAGE_BYTES_MIN = 512;
const PAGE_BYTES_MAX = 65536;

/** A running checksum, two words; each frame goes on from that of the frame before. */
export interface WalSum {
  first: number;
  second: number;
}

export interface WalHeader {
  readonly isLittleEndian: boolean;
  readonly pageBytes: number;
  readonly salt: bigint;
  readonly sum: Readonly<WalSum>;
}

export interface WalFrame {
  /** 0 is no page. */
  readonly page: number;
  /** Whether a transaction ends here. */
  readonly isCommit: boolean;
  /** Equal to that of the header, or the frame is a leftover of an earlier use of the file. */
  readonly salt: bigint;
  readonly sum: Readonly<WalSum>;
}

/** Reads a header of 32 bytes; undefined: it is none, or it is damaged. */
export function readWalHeader(view: DataView): WalHeader | undefined {
  const magic = view.getUint32(0);
  const pageBytes = view.getUint32(8);
  if (magic !== MAGIC_LITTLE_ENDIAN && magic !== MAGIC_BIG_ENDIAN) return undefined;
  if (view.getUint32(4) !== VERSION || !isPageSize(pageBytes)) return undefined;
  const isLittleEndian = magic === MAGIC_LITTLE_ENDIAN;
  const sum = { first: 0, second: 0 };
  addToSum(sum, new DataView(view.buffer, view.byteOffset, HEADER_SUMMED_BYTES), isLittleEndian);
  if (sum.first !== view.getInt32(24) || sum.second !== view.getInt32(28)) return undefined;
  return { isLittleEndian, pageBytes, salt: view.getBigUint64(16), sum };
}

/** Reads the header of the frame that `view` holds. */
export function readWalFrame(view: DataView): WalFrame {
  return {
    page: view.getUint32(0),
    isCommit: view.getUint32(4) !== 0,
    salt: view.getBigUint64(FRAME_SALT_AT),
    sum: { first: view.getInt32(16), second: view.getInt32(20) },
  };
}

/** Adds a whole frame to the checksum of the frame before it. */
export function addFrameToSum(sum: WalSum, view: DataView, isLittleEndian: boolean): void {
  const { buffer, byteOffset, byteLength } = view;
  addToSum(sum, new DataView(buffer, byteOffset, FRAME_SUMMED_BYTES), isLittleEndian);
  const page = new DataView(buffer, byteOffset + FRAME_HEADER_BYTES, byteLength - FRAME_HEADER_BYTES);
  addToSum(sum, page, isLittleEndian);
}

function addToSum(sum: WalSum, view: DataView, isLittleEndian: boolean): void {
  let { first, second } = sum;
  for (let at = 0; at < view.byteLength; at += 8) {
    first = (first + view.getInt32(at, isLittleEndian) + second) | 0;
    second = (second + view.getInt32(at + 4, isLittleEndian) + first) | 0;
  }
  sum.first = first;
  sum.second = second;
}

function isPageSize(bytes: number): boolean {
  return bytes >= PAGE_BYTES_MIN && bytes <= PAGE_BYTES_MAX && (bytes & (bytes - 1)) === 0;
}
