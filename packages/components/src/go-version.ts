import { open, type FileHandle } from "node:fs/promises";

/**
 * The version of Go that a program was built with, such as `go1.19.8`; `unknown` when the file does not say.
 * Format: debug/buildinfo of Go. 32 bytes in the section .go.buildinfo begin with a magic; since Go 1.18 the version
 * follows them, before that a pointer to it stands in them. Only 64-bit little-endian ELF files are read.
 */
export async function readGoVersion(path: string): Promise<string> {
  await using file = await open(path, "r");
  const header = await readAt(file, 0, 64);
  if (header.toString("latin1", 0, 6) !== "\x7fELF\x02\x01") return "unknown";
  const section = await findSection(file, header, ".go.buildinfo");
  if (section === undefined) return "unknown";
  const info = await readAt(file, section.offset, Math.min(section.size, 512));
  if (info.toString("latin1", 0, 14) !== "\xff Go buildinf:") return "unknown";
  const flags = info[15] ?? 0;
  const isInline = (flags & 2) !== 0;
  const version = isInline ? inlineText(info.subarray(32)) : await pointedText(file, header, info.readBigUInt64LE(16));
  return version?.split("\n")[0] ?? "unknown";
}

interface Region {
  readonly offset: number;
  readonly size: number;
}

/** A length as varint, then the text. */
function inlineText(data: Buffer): string | undefined {
  let length = 0;
  for (let index = 0, shift = 0; index < data.length && shift < 28; index++, shift += 7) {
    const byte = data[index] ?? 0;
    length |= (byte & 0x7f) << shift;
    if ((byte & 0x80) === 0) return data.toString("utf8", index + 1, index + 1 + length);
  }
  return undefined;
}

/** A Go string at a virtual address: pointer and length. */
async function pointedText(file: FileHandle, header: Buffer, address: bigint): Promise<string | undefined> {
  const place = await toOffset(file, header, address);
  if (place === undefined) return undefined;
  const pair = await readAt(file, place, 16);
  const text = await toOffset(file, header, pair.readBigUInt64LE(0));
  const length = Number(pair.readBigUInt64LE(8));
  return text === undefined || length > 64 ? undefined : (await readAt(file, text, length)).toString("utf8");
}

/** Where the byte of a virtual address is in the file, by the program headers (elf(5)). */
async function toOffset(file: FileHandle, header: Buffer, address: bigint): Promise<number | undefined> {
  const entrySize = header.readUInt16LE(54);
  const table = await readAt(file, Number(header.readBigUInt64LE(32)), entrySize * header.readUInt16LE(56));
  for (let at = 0; at + 56 <= table.length; at += entrySize) {
    const [offset, virtual] = [table.readBigUInt64LE(at + 8), table.readBigUInt64LE(at + 16)];
    const size = table.readBigUInt64LE(at + 32);
    if (table.readUInt32LE(at) === 1 && address >= virtual && address < virtual + size) {
      return Number(offset + address - virtual);
    }
  }
  return undefined;
}

async function findSection(file: FileHandle, header: Buffer, name: string): Promise<Region | undefined> {
  const entrySize = header.readUInt16LE(58);
  const table = await readAt(file, Number(header.readBigUInt64LE(40)), entrySize * header.readUInt16LE(60));
  const namesAt = header.readUInt16LE(62) * entrySize;
  if (entrySize < 64 || namesAt + 64 > table.length) return undefined;
  const namesRegion = regionAt(table, namesAt);
  const names = await readAt(file, namesRegion.offset, namesRegion.size);
  for (let at = 0; at + 64 <= table.length; at += entrySize) {
    const start = table.readUInt32LE(at);
    if (names.toString("latin1", start, names.indexOf(0, start)) === name) return regionAt(table, at);
  }
  return undefined;
}

function regionAt(table: Buffer, at: number): Region {
  return { offset: Number(table.readBigUInt64LE(at + 24)), size: Number(table.readBigUInt64LE(at + 32)) };
}

async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  const { bytesRead } = await file.read(buffer, 0, length, position);
  return buffer.subarray(0, bytesRead);
}
