import { ApiError, KubeClient, loadKubeconfig } from "@k3s/kube-client";
import {
  BOOTSTRAP_SECRETS,
  bootstrapSecretName,
  caHash,
  formatBootstrapSecret,
  formatToken,
  parseBootstrapSecret,
  TokenError,
  type BootstrapToken,
  type BootstrapTokenSecret,
} from "@k3s/token";
import { TokenCommandError } from "../errors.ts";

/** The bootstrap tokens of the cluster that a kubeconfig leads to. Every method rejects with NodeError. */
export class BootstrapTokens implements Disposable {
  readonly #client: KubeClient;
  readonly #server: string;
  readonly #caHash: string;
  readonly #warn: (text: string) => void;

  private constructor(client: KubeClient, facts: { server: string; caHash: string; warn: (text: string) => void }) {
    this.#client = client;
    this.#server = facts.server;
    this.#caHash = facts.caHash;
    this.#warn = facts.warn;
  }

  /** Reads the kubeconfig; nothing is asked yet. `warn` gets whole lines. */
  static async open(kubeconfig: string, warn: (text: string) => void): Promise<BootstrapTokens> {
    const access = await loadKubeconfig(kubeconfig);
    const client = new KubeClient({ ...access, ca: access.ca?.toString(), userAgent: "k3s-token" });
    const hash = access.ca === undefined ? "" : caHash(access.ca);
    return new BootstrapTokens(client, { server: access.server, caHash: hash, warn });
  }

  /** Resolves with what an agent is to be given: the token with the hash of the cluster's CA. */
  async create(token: BootstrapToken, signal: AbortSignal): Promise<string> {
    const secret = formatBootstrapSecret(token);
    await this.#ask(`create bootstrap token "${token.id}"`, () =>
      this.#client.create(BOOTSTRAP_SECRETS.collection, secret, signal),
    );
    return formatToken(this.#caHash, `${token.id}.${token.secret}`);
  }

  async delete(id: string, signal: AbortSignal): Promise<void> {
    const path = `${BOOTSTRAP_SECRETS.collection}/${bootstrapSecretName(id)}`;
    await this.#ask(`delete bootstrap token "${id}"`, () => this.#client.delete(path, signal));
  }

  /** Warns of those that cannot be read, and leaves them out. */
  async list(signal: AbortSignal): Promise<readonly BootstrapToken[]> {
    const { items } = await this.#ask("list bootstrap tokens", () =>
      this.#client.get<{ readonly items: readonly BootstrapTokenSecret[] }>(BOOTSTRAP_SECRETS.selected, signal),
    );
    return items.flatMap((secret) => {
      try {
        return [parseBootstrapSecret(secret)];
      } catch (error) {
        if (!(error instanceof TokenError)) throw error;
        this.#warn(`Warning: ${error.message}\n`);
        return [];
      }
    });
  }

  [Symbol.dispose](): void {
    this.#client.close();
  }

  async #ask<T>(work: string, question: () => Promise<T>): Promise<T> {
    try {
      return await question();
    } catch (error) {
      if (!(error instanceof ApiError)) throw TokenCommandError.unreachable(work, this.#server, error);
      if (error.status === 409) throw TokenCommandError.exists(work);
      if (error.status === 404) throw TokenCommandError.absent(work);
      if (error.status === 401 || error.status === 403) throw TokenCommandError.forbidden(work, error);
      throw TokenCommandError.failed(work, error);
    }
  }
}
