import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { describeError } from "@k3s/errors";
import { isAlias, isMap, isScalar, isSeq, parseDocument, type Document } from "yaml";
import type { Report } from "./setting.ts";

/** What the files say: texts per key, as if each text had been given to a flag of that name. */
export type FileValues = ReadonlyMap<string, readonly string[]>;

/** Limit for the whole of a download. */
const DOWNLOAD_LIMIT_MS = 10_000;

interface ReadOptions {
  readonly report: Report;
  readonly signal: AbortSignal;
  /** Default: 10 s. */
  readonly downloadLimitMs?: number;
}

/**
 * Reads `source` and then `source.d/*.yaml|*.yml` in order of their names; undefined when there is none of them.
 * A later value replaces an earlier one, also for lists; `key+` adds to it. Mistakes are reported per file.
 */
export async function readConfigFiles(source: string, options: ReadOptions): Promise<FileValues | undefined> {
  const values = new Map<string, readonly string[]>();
  const more = await dropIns(source);
  for (const file of [source, ...more]) {
    try {
      const text = await readSource(file, options);
      if (text !== undefined) mergeFile(values, text);
      else if (more.length === 0) return undefined;
    } catch (error) {
      options.signal.throwIfAborted();
      options.report(`${file}: ${describeError(error)}`);
    }
  }
  return values;
}

async function dropIns(source: string): Promise<string[]> {
  if (isUrl(source)) return [];
  const folder = `${source}.d`;
  try {
    const entries = await readdir(folder, { withFileTypes: true });
    const names = entries
      .filter((entry) => !entry.isDirectory() && /\.ya?ml$/i.test(entry.name))
      .map(({ name }) => name);
    return names.sort().map((name) => join(folder, name));
  } catch (error) {
    if (isAbsent(error)) return [];
    throw error;
  }
}

async function readSource(source: string, options: ReadOptions): Promise<string | undefined> {
  const { signal, downloadLimitMs = DOWNLOAD_LIMIT_MS } = options;
  if (isUrl(source)) return await download(source, AbortSignal.any([signal, AbortSignal.timeout(downloadLimitMs)]));
  try {
    return await readFile(source, { encoding: "utf8", signal });
  } catch (error) {
    if (isAbsent(error)) return undefined;
    throw error;
  }
}

async function download(url: string, signal: AbortSignal): Promise<string> {
  const response = await fetch(url, { signal });
  if (!response.ok) throw new Error(`Cannot download settings: status ${response.status}`);
  return await response.text();
}

function mergeFile(values: Map<string, readonly string[]>, text: string): void {
  for (const [key, texts] of parseSettings(text)) {
    if (!key.endsWith("+")) values.set(key, texts);
    else values.set(key.slice(0, -1), [...(values.get(key.slice(0, -1)) ?? []), ...texts]);
  }
}

/** Pairs in the order of the file; the same key may come twice. Throws with the line of the first mistake. */
function parseSettings(text: string): (readonly [string, readonly string[]])[] {
  // k3s reads YAML 1.1, where `yes` and `on` are true; a key may be repeated.
  const document = parseDocument(text, { version: "1.1", uniqueKeys: false });
  const [mistake] = document.errors;
  if (mistake !== undefined) throw new Error(mistake.message.split("\n")[0]?.replace(/:$/, ""));
  const { contents } = document;
  if (contents === null || (isScalar(contents) && contents.value === null)) return [];
  if (!isMap(contents)) throw new Error('must hold lines such as "token: secret"');
  return contents.items.flatMap(({ key, value }) => {
    const name = scalarText(key);
    if (name === undefined) throw new Error("a key must be the name of a flag");
    const texts = textsOf(value, document);
    if (texts === undefined)
      throw new Error(`the value of "${name}" must be a text, a number, a boolean or a list of those`);
    return texts === "absent" ? [] : [[name, texts] as const];
  });
}

function textsOf(node: unknown, document: Document): readonly string[] | "absent" | undefined {
  const value = isAlias(node) ? node.resolve(document) : node;
  if (value === null || (isScalar(value) && value.value === null)) return "absent";
  if (!isSeq(value)) {
    const text = scalarText(value);
    return text === undefined ? undefined : [text];
  }
  const texts = value.items.map((item) => scalarText(isAlias(item) ? item.resolve(document) : item));
  return texts.every((text) => text !== undefined) ? texts : undefined;
}

/** Numbers keep their spelling, so that `0644` means the same here as after a flag. */
function scalarText(node: unknown): string | undefined {
  if (!isScalar(node)) return undefined;
  const { value, source } = node;
  if (typeof value === "number" || typeof value === "bigint") return source ?? String(value);
  if (typeof value === "string" || typeof value === "boolean") return String(value);
  return undefined;
}

function isUrl(source: string): boolean {
  return /^https?:\/\//.test(source);
}

function isAbsent(error: unknown): boolean {
  return error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ENOTDIR");
}
