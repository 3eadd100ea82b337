import { spawn } from "node:child_process";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { isClosedPipe } from "./closed-pipe.ts";
import { runProgram } from "./run-program.ts";
import { dropUnfinished } from "./unfinished-content.ts";

export interface ImageStoreOptions {
  /** The program ctr that belongs to the running containerd. */
  readonly ctr: string;
  readonly socket: string;
  /** Where images are unpacked for containers; undefined: they are kept packed. */
  readonly snapshotter: string | undefined;
}

/** An image as containerd lists it: its full name, and `sha256:` with the digest of its manifest or index. */
export interface StoredImage {
  readonly name: string;
  readonly digest: string;
}

/** Namespace of the images that CRI sees. */
const NAMESPACE = "k8s.io";
/** What keeps an image from garbage collection: ours, and the one that CRI reports to the kubelet. */
const PINNED = ["io.cattle.k3s.pinned", "io.cri-containerd.pinned"];

/** The images of a running containerd, through its own command line. */
export class ImageStore {
  readonly #options: ImageStoreOptions;

  constructor(options: ImageStoreOptions) {
    this.#options = options;
  }

  async list(signal: AbortSignal): Promise<StoredImage[]> {
    return parseImageList(await this.#run(["ls"], signal));
  }

  /** Names of those that we have pinned. */
  async pinned(signal: AbortSignal): Promise<string[]> {
    const list = await this.#run(["ls", "-q", `labels."${PINNED[0] ?? ""}"==pinned`], signal);
    return list.split("\n").filter(Boolean);
  }

  /** Reads images from a tar, and unpacks them for this platform where there is a snapshotter. */
  async import(tar: Readable, signal: AbortSignal): Promise<void> {
    const { ctr, snapshotter } = this.#options;
    const unpacking = snapshotter === undefined ? ["--no-unpack"] : ["--snapshotter", snapshotter];
    const args = [...this.#base(), "import", ...unpacking, "-"];
    const child = spawn(ctr, args, { stdio: ["pipe", "ignore", "pipe"], env: {}, signal });
    let complaint = "";
    child.stderr.on("data", (data: Buffer) => (complaint = (complaint + data.toString()).slice(-1000)));
    const ended = new Promise<void>((resolve, reject) => {
      child.once("error", reject);
      child.once("close", (code) =>
        code === 0 ? resolve() : reject(new Error(complaint.trim() || `ctr ended with ${code ?? "a signal"}`)),
      );
    });
    // When ctr gives up it closes the pipe; what it says is the reason, not the closed pipe.
    const fed = pipeline(tar, child.stdin).catch((error: unknown) => {
      child.kill();
      if (!isClosedPipe(error)) throw error;
    });
    await Promise.all([fed, ended]);
  }

  /** Drops what imports have left half written; none must be under way. */
  async dropUnfinished(signal: AbortSignal): Promise<void> {
    await dropUnfinished({ socket: this.#options.socket, namespace: NAMESPACE }, signal);
  }

  async pin(name: string, signal: AbortSignal): Promise<void> {
    await this.#run(["label", name, ...PINNED.map((label) => `${label}=pinned`)], signal);
  }

  async unpin(name: string, signal: AbortSignal): Promise<void> {
    await this.#run(["label", name, ...PINNED.map((label) => `${label}=`)], signal);
  }

  async tag(name: string, alias: string, signal: AbortSignal): Promise<void> {
    await this.#run(["tag", "--force", name, alias], signal);
  }

  #base(): string[] {
    return ["--address", this.#options.socket, "--namespace", NAMESPACE, "images"];
  }

  async #run(args: readonly string[], signal: AbortSignal): Promise<string> {
    return await runProgram([this.#options.ctr, ...this.#base(), ...args], { signal });
  }
}

/** Rows of `ctr images ls`: name, type, digest, … under a heading. */
function parseImageList(text: string): StoredImage[] {
  return text
    .split("\n")
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .flatMap(([name, , digest]) => (name && digest?.startsWith("sha256:") ? [{ name, digest }] : []));
}
