/** One member of a tar archive; folders that lead to it are not added by themselves. */
export type TarEntry =
  | { readonly type: "file"; readonly path: string; readonly mode: number; readonly data: Uint8Array }
  | { readonly type: "directory"; readonly path: string; readonly mode: number }
  | { readonly type: "link"; readonly path: string; readonly target: string };

const BLOCK = 512;
const TYPE_FLAG = { file: "0", link: "2", directory: "5" } as const;

/** A POSIX ustar archive, byte for byte the same for the same entries: owner root, time 0. Paths up to 255 bytes. */
export function formatTar(entries: readonly TarEntry[]): Buffer {
  const parts: Uint8Array[] = [];
  for (const entry of entries) {
    const data = entry.type === "file" ? entry.data : new Uint8Array();
    parts.push(header(entry, data.length), data, new Uint8Array(-data.length & (BLOCK - 1)));
  }
  return Buffer.concat([...parts, new Uint8Array(2 * BLOCK)]);
}

function header(entry: TarEntry, size: number): Buffer {
  const block = Buffer.alloc(BLOCK);
  const { prefix, name } = splitPath(entry.type === "directory" ? `${entry.path}/` : entry.path);
  block.write(name, 0, 100);
  block.write(octal(entry.type === "link" ? 0o777 : entry.mode, 7), 100);
  block.write(octal(0, 7), 108); // uid
  block.write(octal(0, 7), 116); // gid
  block.write(octal(size, 11), 124);
  block.write(octal(0, 11), 136); // mtime
  block.write(" ".repeat(8), 148); // the checksum counts its own field as blanks
  block.write(TYPE_FLAG[entry.type], 156);
  if (entry.type === "link") block.write(entry.target, 157, 100);
  block.write("ustar\u000000", 257);
  block.write(prefix, 345, 155);
  block.write(
    `${octal(
      block.reduce((sum, byte) => sum + byte, 0),
      6,
    )}\0 `,
    148,
  );
  return block;
}

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, "0");
}

function splitPath(path: string): { readonly prefix: string; readonly name: string } {
  if (Buffer.byteLength(path) <= 100) return { prefix: "", name: path };
  for (let cut = path.indexOf("/"); cut !== -1; cut = path.indexOf("/", cut + 1)) {
    const prefix = path.slice(0, cut);
    const name = path.slice(cut + 1);
    if (Buffer.byteLength(name) <= 100 && Buffer.byteLength(prefix) <= 155 && name !== "") return { prefix, name };
  }
  throw new RangeError(`Cannot write tar member "${path}": the path is too long`);
}
