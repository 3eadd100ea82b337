import { readIfExists, writeFileAtomic } from "@k3s/files";
import type { Logger } from "@k3s/log";
import { createCsr, type CertificatePair } from "@k3s/pki";
import { authorizationHeader, parseToken } from "@k3s/token";
import { ClusterError } from "./errors.ts";
import { httpsRequestOnce, type HttpsAnswer } from "./https-request.ts";
import type { ClusterTrust } from "./trust-cluster.ts";

/** How a node shows that a name is its own. */
export interface NodeProof {
  readonly name: string;
  readonly password: string;
  /** Where the password is kept, for the message when it is not accepted. */
  readonly passwordFile: string;
  readonly ips: readonly string[];
}

export interface ClusterClientOptions {
  readonly trust: ClusterTrust;
  /** Shown in addition to the token, once it is there. */
  readonly pair?: CertificatePair;
  readonly log: Logger;
}

interface Call {
  readonly path: string;
  readonly method?: "GET" | "POST" | "PUT";
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  readonly signal: AbortSignal;
}

/** Asks the supervisor of one server. Every method rejects with ClusterError when it gets no good answer. */
export class ClusterClient {
  readonly #options: ClusterClientOptions;

  constructor(options: ClusterClientOptions) {
    this.#options = options;
  }

  async get(path: string, signal: AbortSignal): Promise<Buffer> {
    const call = { path, signal };
    const answer = await this.#ask(call, await this.#pair());
    if (answer.status < 200 || answer.status > 299) throw this.#failure(call, answer);
    return answer.body;
  }

  /** Sends JSON to be stored; the answer says nothing. */
  async put(path: string, value: object, signal: AbortSignal): Promise<void> {
    const headers = { "content-type": "application/json" };
    const call: Call = { path, method: "PUT", headers, body: Buffer.from(JSON.stringify(value)), signal };
    const answer = await this.#ask(call, await this.#pair());
    if (answer.status < 200 || answer.status > 299) throw this.#failure(call, answer);
  }

  /**
   * A certificate for the key in `keyFile`, which is made when it is missing: PEM of the leaf and its CA bundle. `proof`
   * for the two certificates that name a node. A server of old that sends a private key along has it stored as ours.
   */
  async certificate(
    path: string,
    request: { readonly keyFile: string; readonly proof?: NodeProof },
    signal: AbortSignal,
  ): Promise<string> {
    const { keyFile, proof } = request;
    const headers = proof === undefined ? {} : nodeHeaders(proof);
    const call: Call = { path, method: "POST", headers, body: await createCsr(keyFile), signal };
    const pair = await this.#pair();
    let answer = await this.#ask(call, pair);
    // The Node object is gone, and our certificate with it: the token and the password still count.
    if (answer.status === 401 && pair !== undefined) answer = await this.#ask(call, undefined);
    if (answer.status === 403 && proof !== undefined) {
      throw ClusterError.nodePassword({ node: proof.name, file: proof.passwordFile });
    }
    if (answer.status !== 200) throw this.#failure(call, answer);
    const { certificates, key } = splitPem(answer.body.toString("utf8"));
    if (key !== "") await writeFileAtomic(keyFile, key, { mode: 0o600 });
    return certificates;
  }

  async #ask({ path, method, headers = {}, body, signal }: Call, pair: Pair | undefined): Promise<HttpsAnswer> {
    const { trust, log } = this.#options;
    const authorization =
      trust.token === undefined ? undefined : authorizationHeader(parseToken(trust.token).credentials);
    const url = new URL(`${trust.server.href.replace(/\/+$/, "")}${path}`);
    try {
      const answer = await httpsRequestOnce({
        url,
        ...(method === undefined ? {} : { method }),
        headers: authorization === undefined ? headers : { ...headers, authorization },
        ...(body === undefined ? {} : { body }),
        trust: trust.ca ?? "system",
        pair: trust.ca === undefined ? undefined : pair,
        signal,
      });
      for (const warning of warningsOf(answer)) log.warn({ url: url.href }, warning);
      return answer;
    } catch (error) {
      signal.throwIfAborted();
      throw ClusterError.unreachable(this.#name, error);
    }
  }

  #failure({ path }: Call, { status, statusLine, body }: HttpsAnswer): ClusterError {
    const what = `${path} of ${this.#name}`;
    const message = statusMessage(body);
    if (status === 401) return this.#unauthorized();
    if (status === 403) return ClusterError.forbidden(what, message);
    return ClusterError.failed(what, { line: statusLine, message });
  }

  #unauthorized(): ClusterError {
    const { token } = this.#options.trust;
    const isBootstrap = token !== undefined && parseToken(token).credentials.kind === "bootstrap";
    return isBootstrap ? ClusterError.bootstrapToken(this.#name) : ClusterError.wrongToken(this.#name);
  }

  get #name(): string {
    const { name, server } = this.#options.trust;
    return name ?? server.origin;
  }

  async #pair(): Promise<Pair | undefined> {
    const files = this.#options.pair;
    if (files === undefined) return undefined;
    const [cert, key] = await Promise.all([readIfExists(files.cert), readIfExists(files.key)]);
    return cert === undefined || key === undefined ? undefined : { cert, key };
  }
}

interface Pair {
  readonly cert: Buffer;
  readonly key: Buffer;
}

function nodeHeaders({ name, password, ips }: NodeProof): Readonly<Record<string, string>> {
  const address = ips.length === 0 ? {} : { "k3s-Node-IP": ips.join(",") };
  return { "k3s-Node-Name": name, "k3s-Node-Password": password, ...address };
}

const PRIVATE_KEY = /-----BEGIN ([A-Z ]*PRIVATE KEY)-----.*?-----END \1-----\r?\n?/gs;

/** A private key that a server sends belongs into no certificate file. */
function splitPem(pem: string): { readonly certificates: string; readonly key: string } {
  return { certificates: pem.replace(PRIVATE_KEY, ""), key: pem.match(PRIVATE_KEY)?.join("") ?? "" };
}

/** The text of each `Warning: 299 agent "text"`. */
function warningsOf({ headers }: HttpsAnswer): readonly string[] {
  const header = headers["warning"] ?? "";
  return Array.from(header.matchAll(/(?:^|,)\s*299\s+\S+\s+"((?:[^"\\]|\\.)*)"/g), ([, text = ""]) =>
    text.replace(/\\(.)/g, "$1"),
  );
}

/** The message of a metav1.Status; empty for anything else. */
function statusMessage(body: Buffer): string {
  try {
    const value: unknown = JSON.parse(body.toString("utf8"));
    const isStatus = typeof value === "object" && value !== null && "message" in value;
    return isStatus && typeof value.message === "string" ? value.message : "";
  } catch {
    return "";
  }
}
