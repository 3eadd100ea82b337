import { decodeBase58, encodeBase58 } from "./base58.ts";

/** The first token of names that do not begin with a slash. */
const NO_ROOT = "meta";
/** Names repeat their parts: resources, namespaces. */
const CACHED_PARTS = 4096;
/** nats-server closes a connection whose control line, subject and reply together, is longer than 4096 bytes. */
const MAX_SUBJECT_CHARS = 3800;

/** Between names of rows and subjects of a bucket: the parts between slashes in base 58, an empty part as "/" in base 58. */
export class Subjects {
  /** Every row of the bucket. */
  readonly all: string;
  readonly #prefix: string;
  readonly #tokens = new Map<string, string>();

  constructor(bucket: string) {
    this.#prefix = `$KV.${bucket}.`;
    this.all = `${this.#prefix}>`;
  }

  /** undefined: the name is too long for a subject. */
  ofName(name: string): string | undefined {
    const isRooted = name.startsWith("/");
    const tokens = (isRooted ? name.slice(1) : name).split("/").map((part) => this.#tokenOf(part));
    const subject = this.#prefix + (isRooted ? tokens : [NO_ROOT, ...tokens]).join(".");
    return subject.length > MAX_SUBJECT_CHARS ? undefined : subject;
  }

  /** undefined: no key of kine's has this subject. */
  toName(subject: string): string | undefined {
    if (!subject.startsWith(this.#prefix)) return undefined;
    const tokens = subject.slice(this.#prefix.length).split(".");
    const isRooted = tokens[0] !== NO_ROOT || tokens.length === 1;
    if (!isRooted) tokens.shift();
    const parts: string[] = [];
    for (const token of tokens) {
      const part = decodeBase58(token)?.toString("utf8");
      if (part === undefined || part === "") return undefined;
      parts.push(part === "/" ? "" : part);
    }
    return (isRooted ? "/" : "") + parts.join("/");
  }

  #tokenOf(part: string): string {
    let token = this.#tokens.get(part);
    if (token !== undefined) return token;
    token = encodeBase58(Buffer.from(part === "" ? "/" : part, "utf8"));
    if (this.#tokens.size >= CACHED_PARTS) this.#tokens.clear();
    this.#tokens.set(part, token);
    return token;
  }
}
