import { access, readFile } from "node:fs/promises";

/** The text of a small file without the space around it; undefined when it cannot be read. */
export async function readText(path: string): Promise<string | undefined> {
  return await readFile(path, "utf8").then(
    (text) => text.trim(),
    () => undefined,
  );
}

/** The number in a file of /proc or /sys. */
export async function readNumber(path: string): Promise<number | undefined> {
  const text = await readText(path);
  return text === undefined || !/^\d+$/.test(text) ? undefined : Number(text);
}

export async function isThere(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}
