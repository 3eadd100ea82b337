import { Transform, type TransformCallback } from "node:stream";

const BLOCK = 512;
/** The two indexes are a few kilobytes; anything larger is not one. */
const MAX_INDEX_BYTES = 4 * 1024 * 1024;
const INDEX_FILES = new Set(["manifest.json", "index.json"]);

/**
 * Passes a tar of images through and remembers the names of the images in it: the tags of docker's `manifest.json`, or
 * the names in the annotations of an OCI `index.json`. Names come out in full form, as containerd stores them.
 */
export class ArchiveNames extends Transform {
  readonly #indexes = new Map<string, Buffer[]>();
  #header = Buffer.alloc(0);
  #current: Buffer[] | undefined;
  #contentLeft = 0;
  #paddingLeft = 0;

  /** Of what has passed through so far. */
  names(): string[] {
    const parse = (name: string): unknown => {
      const chunks = this.#indexes.get(name);
      return chunks === undefined ? undefined : JSON.parse(Buffer.concat(chunks).toString());
    };
    const oci = ociNames(parse("index.json"));
    return [...new Set(oci.length > 0 ? oci : dockerNames(parse("manifest.json")))];
  }

  override _transform(chunk: Buffer, _encoding: BufferEncoding, done: TransformCallback): void {
    for (let offset = 0; offset < chunk.length;) offset += this.#take(chunk.subarray(offset));
    done(null, chunk);
  }

  /** Reads on in the current part of the tar; how many bytes that took. */
  #take(bytes: Buffer): number {
    if (this.#contentLeft > 0) {
      const part = bytes.subarray(0, this.#contentLeft);
      this.#current?.push(part);
      this.#contentLeft -= part.length;
      return part.length;
    }
    if (this.#paddingLeft > 0) {
      const length = Math.min(this.#paddingLeft, bytes.length);
      this.#paddingLeft -= length;
      return length;
    }
    const part = bytes.subarray(0, BLOCK - this.#header.length);
    this.#header = Buffer.concat([this.#header, part]);
    if (this.#header.length === BLOCK) this.#startEntry();
    return part.length;
  }

  #startEntry(): void {
    const header = this.#header;
    this.#header = Buffer.alloc(0);
    const size = entrySize(header);
    const name = fieldText(header.subarray(0, 100)).replace(/^\.\//, "");
    this.#contentLeft = size;
    this.#paddingLeft = (BLOCK - (size % BLOCK)) % BLOCK;
    this.#current = undefined;
    if (!INDEX_FILES.has(name) || size > MAX_INDEX_BYTES) return;
    this.#current = [];
    this.#indexes.set(name, this.#current);
  }
}

/** `busybox` and `rancher/pause:3` as containerd stores them: with registry, repository and tag. */
export function normalizeImageName(name: string): string {
  const [first = "", ...others] = name.split("/");
  const hasRegistry = others.length > 0 && (/[.:]/.test(first) || first === "localhost");
  const path = hasRegistry ? name : `docker.io/${others.length === 0 ? "library/" : ""}${name}`;
  return /[@:][^/]*$/.test(path) ? path : `${path}:latest`;
}

/** Octal text, or for large files a big-endian number with the highest bit set (GNU and POSIX tar). */
function entrySize(header: Buffer): number {
  const field = header.subarray(124, 136);
  if ((field[0] ?? 0) & 0x80) return Number(field.readBigUInt64BE(4));
  return Number.parseInt(fieldText(field).trim() || "0", 8);
}

function fieldText(field: Buffer): string {
  const end = field.indexOf(0);
  return field.toString("utf8", 0, end === -1 ? field.length : end);
}

function dockerNames(manifest: unknown): string[] {
  if (!Array.isArray(manifest)) return [];
  return manifest.flatMap((image: unknown) => {
    const tags = isMap(image) ? image["RepoTags"] : undefined;
    return Array.isArray(tags) ? tags.filter((tag) => typeof tag === "string").map(normalizeImageName) : [];
  });
}

/** `io.containerd.image.name` is what `ctr images export` and buildkit write. */
function ociNames(index: unknown): string[] {
  const manifests = isMap(index) ? index["manifests"] : undefined;
  if (!Array.isArray(manifests)) return [];
  return manifests.flatMap((manifest: unknown) => {
    const annotations = isMap(manifest) ? manifest["annotations"] : undefined;
    const name = isMap(annotations) ? annotations["io.containerd.image.name"] : undefined;
    return typeof name === "string" ? [normalizeImageName(name)] : [];
  });
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null;
}
