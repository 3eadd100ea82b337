import { dirname } from "node:path";
import { makeDirectory, readIfExists, writeFileAtomic } from "@k3s/files";

/** What a load balancer knows of its servers between two runs. */
export interface SavedServers {
  /** Scheme and address of the default server. */
  readonly serverUrl: string;
  readonly addresses: readonly string[];
}

/** The content of `<name>.json`, byte for byte as k3s has it. */
export function formatServerFile({ serverUrl, addresses }: SavedServers): string {
  return JSON.stringify({ ServerURL: serverUrl, ServerAddresses: [...addresses].sort() }, undefined, 2);
}

/** Undefined when the text is not such a content. */
export function parseServerFile(text: string): SavedServers | undefined {
  const value = parseJson(text);
  if (typeof value !== "object" || value === null) return undefined;
  const { ServerURL: serverUrl, ServerAddresses: addresses } = value as Record<string, unknown>;
  if (typeof serverUrl !== "string") return undefined;
  const list: readonly unknown[] = Array.isArray(addresses) ? addresses : []; // Go writes null for an empty list
  return { serverUrl, addresses: list.filter((address) => typeof address === "string") };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** The file on disk. Writes follow each other, and only the newest of those that wait is made. */
export class ServerFile {
  readonly path: string;
  readonly #failed: (error: unknown) => void;
  #written: string | undefined;
  #wanted: string | undefined;
  #writing: Promise<void> = Promise.resolve();

  /** `failed` is told of a write that failed; the next change tries again. */
  constructor(path: string, failed: (error: unknown) => void) {
    this.path = path;
    this.#failed = failed;
  }

  /** Undefined when there is no file; "unreadable" when there is one that is not ours. */
  async load(): Promise<SavedServers | "unreadable" | undefined> {
    const text = (await readIfExists(this.path))?.toString();
    if (text === undefined) return undefined;
    this.#written = text;
    return parseServerFile(text) ?? "unreadable";
  }

  /** Resolves when this content or a newer one is on disk, or could not be written. Never rejects. */
  save(servers: SavedServers): Promise<void> {
    this.#wanted = formatServerFile(servers);
    this.#writing = this.#writing.then(() => this.#writeWanted());
    return this.#writing;
  }

  async #writeWanted(): Promise<void> {
    const text = this.#wanted;
    if (text === undefined || text === this.#written) return;
    try {
      await makeDirectory(dirname(this.path), 0o700);
      await writeFileAtomic(this.path, text, { mode: 0o644 });
      this.#written = text;
    } catch (error) {
      this.#written = undefined; // what is there now is not known
      this.#failed(error);
    }
  }
}
