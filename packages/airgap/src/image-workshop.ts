import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { deadline } from "@k3s/async";
import type { ComponentSet } from "@k3s/components";
import { writeFileAtomic } from "@k3s/files";
import type { Logger } from "@k3s/log";
import { ImageStore, importArchive, runProgram, type StoredImage } from "@k3s/node-runtime";
import { SupervisedChild } from "@k3s/process";
import { AirgapError } from "./errors.ts";

const START_LIMIT_MS = 30_000;
const STOP_LIMIT_MS = 10_000;
/** The same namespace as that of pods: archives name it nowhere, but tools list it by default. */
const NAMESPACE = "k8s.io";

export interface WorkshopOptions {
  readonly set: Pick<ComponentSet, "path">;
  /** Search path of programs. */
  readonly path: string;
  /** An empty folder; its path must be short, as there will be a socket in it. */
  readonly folder: string;
  /** Processor of the images, as `amd64`. */
  readonly architecture: string;
  readonly log: Logger;
}

/** A containerd of our own, in a folder of its own, in which images are collected. It runs no containers. */
export class ImageWorkshop implements AsyncDisposable {
  readonly #options: WorkshopOptions;
  readonly #socket: string;
  readonly #child: SupervisedChild;
  readonly #store: ImageStore;

  private constructor(options: WorkshopOptions) {
    const { set, folder, log, path } = options;
    this.#options = options;
    this.#socket = join(folder, "containerd.sock");
    this.#store = new ImageStore({ ctr: set.path("ctr"), socket: this.#socket, snapshotter: undefined });
    const file = set.path("containerd");
    this.#child = new SupervisedChild({
      name: "containerd",
      executable: file,
      ...{ log, killGraceMs: STOP_LIMIT_MS },
      command: () => ({ file, args: ["-c", join(folder, "config.toml")], env: { PATH: path } }),
      isReady: async (signal) => {
        await this.#store.list(signal);
      },
      rawOutput: { path: join(folder, "containerd.log"), echo: "none" },
    });
  }

  /** Starts containerd; end it with `await using`. */
  static async open(options: WorkshopOptions, signal: AbortSignal): Promise<ImageWorkshop> {
    const { folder } = options;
    for (const name of ["root", "state"]) await mkdir(join(folder, name));
    await writeFileAtomic(join(folder, "config.toml"), containerdConfig(folder), { mode: 0o600 });
    const workshop = new ImageWorkshop(options);
    using limit = deadline(START_LIMIT_MS, "containerd", signal);
    try {
      await workshop.#child.start({ signal: limit, lost: () => undefined });
      return workshop;
    } catch (error) {
      await workshop[Symbol.asyncDispose]();
      throw error;
    }
  }

  async list(signal: AbortSignal): Promise<StoredImage[]> {
    return await this.#store.list(signal);
  }

  /** Takes the images of an archive and returns their names. Rejects with NodeRuntimeError. */
  async import(archive: string, signal: AbortSignal): Promise<readonly string[]> {
    return await importArchive(archive, { store: this.#store, path: this.#options.path, signal });
  }

  /** Takes an image from its registry, or from where `hostsDir` sends to. Rejects with AirgapError. */
  async fetch(reference: string, hostsDir: string | undefined, signal: AbortSignal): Promise<void> {
    const hosts = hostsDir === undefined ? [] : ["--hosts-dir", hostsDir];
    try {
      await this.#ctr(["content", "fetch", "--platform", this.#platform, ...hosts, reference], signal);
    } catch (error) {
      signal.throwIfAborted();
      throw AirgapError.unreachable(reference, error);
    }
  }

  /** Writes images to a plain tar that containerd and docker can load. */
  async export(names: readonly string[], file: string, signal: AbortSignal): Promise<void> {
    await this.#ctr(["images", "export", "--platform", this.#platform, file, ...names], signal);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    using hurry = deadline(STOP_LIMIT_MS, "containerd to end");
    await this.#child.stop(hurry);
  }

  get #platform(): string {
    return `linux/${this.#options.architecture}`;
  }

  async #ctr(args: readonly string[], signal: AbortSignal): Promise<string> {
    const { set, path } = this.#options;
    return await runProgram([set.path("ctr"), "--address", this.#socket, "--namespace", NAMESPACE, ...args], {
      path,
      signal,
    });
  }
}

/** Version 2 is understood by every containerd; without CRI nothing is looked for in the network configuration of the machine. */
function containerdConfig(folder: string): string {
  const text = (path: string) => JSON.stringify(path);
  return [
    "version = 2",
    `root = ${text(join(folder, "root"))}`,
    `state = ${text(join(folder, "state"))}`,
    'disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt"]',
    "[grpc]",
    `address = ${text(join(folder, "containerd.sock"))}`,
    "",
  ].join("\n");
}
