import { sleep } from "@k3s/async";
import { kubeClientFromFiles, type KubeClient } from "@k3s/kube-client";
import type { Component } from "@k3s/lifecycle";
import type { Logger } from "@k3s/log";
import type { CommitHints } from "@k3s/datastore";
import { COMMIT_HINT_PATH, formatCommitHint } from "./commit-hint-route.ts";
import { HintedServer } from "./hinted-server.ts";

/** Between two hints: a server that found news asks the database every few milliseconds for longer than that. */
const SPACING_MS = 100;

export interface CommitHintSenderOptions {
  /** Undefined where there is nothing to tell, or nobody. */
  readonly hints: () => CommitHints | undefined;
  /** Supervisors of the other servers, as `https://host:port`. Asked before each hint. */
  readonly servers: () => Promise<readonly string[]>;
  /** What this server shows to others, and what it knows them by. */
  readonly files: { readonly caFile: string; readonly certFile: string; readonly keyFile: string };
  readonly onOutcome: (outcome: "sent" | "failed") => void;
  readonly log: Logger;
}

/**
 * Tells the other servers of commits that the database does not announce. Each server tells each other one, at most ten times a second:
 * of thirty servers that all write without a pause each hears 290 hints a second, and asks the database at most 200 times for them.
 */
export class CommitHintSender implements Component {
  readonly name = "commit-hints";
  readonly #options: CommitHintSenderOptions;
  readonly #servers = new Map<string, HintedServer>();
  readonly #stopping = new AbortController();
  #lastRow = 0;
  #toldRow = 0;
  #isTelling = false;
  #telling: Promise<void> = Promise.resolve();

  constructor(options: CommitHintSenderOptions) {
    this.#options = options;
  }

  start(): Promise<void> {
    this.#options.hints()?.onCommit((lastRow) => this.#tell(lastRow));
    return Promise.resolve();
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error("it is being stopped"));
    await this.#telling;
    await this.#follow([]);
  }

  /** Never waits. */
  #tell(lastRow: number): void {
    this.#lastRow = Math.max(this.#lastRow, lastRow);
    if (!this.#isTelling && this.#hasNews) this.#telling = this.#tellAll();
  }

  get #hasNews(): boolean {
    return this.#lastRow > this.#toldRow && !this.#stopping.signal.aborted;
  }

  /** Never rejects. */
  async #tellAll(): Promise<void> {
    const { signal } = this.#stopping;
    this.#isTelling = true;
    while (this.#hasNews) {
      const urls = await this.#lookUp();
      if (urls !== undefined && !signal.aborted) void this.#follow(urls);
      this.#toldRow = this.#lastRow;
      for (const server of this.#servers.values()) server.tell(this.#toldRow);
      await sleep(SPACING_MS, signal).catch(() => undefined);
    }
    this.#isTelling = false; // in the same turn as the last look: what is written now begins anew
  }

  /** Undefined: those that are known have to do. */
  async #lookUp(): Promise<readonly string[] | undefined> {
    try {
      return await this.#options.servers();
    } catch (error) {
      this.#options.log.debug({ error }, "other servers could not be looked up");
      return undefined;
    }
  }

  /** Resolves once the servers that are none any more are told nothing. */
  async #follow(urls: readonly string[]): Promise<void> {
    const left = Array.from(this.#servers.keys()).filter((url) => !urls.includes(url));
    const closing = left.map(async (url) => this.#servers.get(url)?.close());
    for (const url of left) this.#servers.delete(url);
    for (const url of urls) if (!this.#servers.has(url)) this.#servers.set(url, this.#open(url));
    await Promise.all(closing);
  }

  #open(url: string): HintedServer {
    const { files, onOutcome, log } = this.#options;
    const connection = new HintConnection(url, files);
    return new HintedServer({
      send: (lastRow, signal) => connection.send(lastRow, signal),
      onClose: () => connection.close(),
      onOutcome,
      log: log.child({ server: url }),
    });
  }
}

/** One connection that is kept. After a failure a new one is made, with what the files have by then. */
class HintConnection {
  readonly #files: CommitHintSenderOptions["files"];
  readonly #url: string;
  #client: KubeClient | undefined;

  constructor(url: string, files: CommitHintSenderOptions["files"]) {
    this.#url = url;
    this.#files = files;
  }

  async send(lastRow: number, signal: AbortSignal): Promise<void> {
    try {
      this.#client ??= await kubeClientFromFiles({ server: this.#url, userAgent: "k3s-supervisor", ...this.#files });
      await this.#client.create(COMMIT_HINT_PATH, formatCommitHint(lastRow), signal);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  close(): void {
    this.#client?.close();
    this.#client = undefined;
  }
}
