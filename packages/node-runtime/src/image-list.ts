import { stat } from "node:fs/promises";
import { readIfExists } from "@k3s/files";
import { normalizeImageName } from "./archive-names.ts";
import { NodeRuntimeError } from "./errors.ts";

/** Larger is no list of references. */
const MAX_BYTES = 1024 * 1024;

const PART = String.raw`[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*`;
const HOST = String.raw`[a-zA-Z0-9.-]+(?::\d+)?|\[[a-fA-F0-9:]+\](?::\d+)?`;
/** A reference in full form, by the grammar of the OCI distribution specification. */
const REFERENCE = new RegExp(
  String.raw`^(?:${HOST})/${PART}(?:/${PART})*(?::\w[\w.-]{0,127})?(?:@[a-z0-9]+:[a-f0-9]{32,})?$`,
);

export interface ImageList {
  /** In full form, as containerd stores them; each once. */
  readonly references: readonly string[];
  /** Lines that are no reference, counted from one. */
  readonly wrong: readonly { readonly line: number; readonly text: string }[];
}

/** Whether a file has image references, one a line, that are to be pulled (k3s). */
export function isImageList(path: string): boolean {
  return path.endsWith(".txt");
}

/** Reads the file of a list. One that is gone is empty; rejects with NodeRuntimeError what cannot be a list. */
export async function readImageList(path: string): Promise<ImageList> {
  const size = await stat(path).then(
    (found) => (found.isFile() ? found.size : 0),
    () => 0,
  );
  if (size > MAX_BYTES) throw NodeRuntimeError.imageListSize(path, MAX_BYTES);
  return parseImageList((await readIfExists(path))?.toString() ?? "");
}

/** Understands a list of references; empty lines and those that begin with `#` do not count. */
export function parseImageList(text: string): ImageList {
  const references = new Set<string>();
  const wrong: { line: number; text: string }[] = [];
  for (const [index, raw] of text.split("\n").entries()) {
    const line = raw.trim();
    if (line === "" || line.startsWith("#")) continue;
    // containerd stores what has a tag and a digest under the digest.
    const name = normalizeImageName(line).replace(/:[^/:@]+@/, "@");
    if (REFERENCE.test(name)) references.add(name);
    else wrong.push({ line: index + 1, text: line.slice(0, 200) });
  }
  return { references: [...references], wrong };
}
