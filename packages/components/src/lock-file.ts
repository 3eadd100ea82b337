import { readIfExists, writeFileAtomic } from "@k3s/files";
import { ComponentError } from "./errors.ts";

/** Checksums that the publishers named once, by the file's address: what counts from then on. */
export class LockFile {
  readonly #path: string;
  readonly #checksums: Map<string, string>;

  private constructor(path: string, checksums: Map<string, string>) {
    this.#path = path;
    this.#checksums = checksums;
  }

  /** An absent file is an empty one. Rejects with ERR_COMPONENT_MANIFEST when it cannot be understood. */
  static async open(path: string): Promise<LockFile> {
    const text = await readIfExists(path);
    if (text === undefined) return new LockFile(path, new Map());
    try {
      const value = JSON.parse(text.toString()) as { readonly sha256?: unknown };
      const entries = Object.entries(value.sha256 ?? {});
      if (entries.every((entry): entry is [string, string] => typeof entry[1] === "string"))
        return new LockFile(path, new Map(entries));
    } catch (error) {
      throw ComponentError.manifest(path, error instanceof Error ? error.message : "no JSON");
    }
    throw ComponentError.manifest(path, 'needs the form {"sha256": {"<address>": "<digest>"}}');
  }

  get(url: string): string | undefined {
    return this.#checksums.get(url);
  }

  /** Records what the publisher names. */
  async record(url: string, published: string): Promise<void> {
    this.#checksums.set(url, published);
    const sha256 = Object.fromEntries([...this.#checksums].sort(([a], [b]) => (a < b ? -1 : 1)));
    await writeFileAtomic(this.#path, `${JSON.stringify({ sha256 }, undefined, 2)}\n`, { mode: 0o644 });
  }
}
