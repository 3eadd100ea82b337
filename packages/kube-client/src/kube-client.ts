import type { IncomingMessage } from "node:http";
import { Agent, request as httpsRequest } from "node:https";
import { text } from "node:stream/consumers";
import { ApiError } from "./api-error.ts";

export interface KubeClientOptions {
  readonly server: string;
  /** PEM; undefined: the authorities that Node knows. */
  readonly ca: string | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  /** Shown with each request. */
  readonly bearerToken?: string | undefined;
  /** Name that the server's certificate has to bear; default: the one in `server`. */
  readonly serverName?: string | undefined;
  readonly userAgent: string;
}

/** As much of a Kubernetes object as every kind has. */
export interface KubeObject {
  readonly apiVersion?: string;
  readonly kind?: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly uid?: string;
    readonly resourceVersion?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
}

/** Kubernetes' patch formats, by their media types. */
export type PatchType = "json" | "merge" | "apply";

const PATCH_MEDIA_TYPES: Record<PatchType, string> = {
  json: "application/json-patch+json",
  merge: "application/merge-patch+json",
  apply: "application/apply-patch+yaml",
};

interface Call {
  readonly method: string;
  readonly path: string;
  readonly body?: string;
  readonly contentType?: string;
  readonly signal: AbortSignal;
}

/** Talks to one API server over one keep-alive pool. Every method rejects with ApiError when the server says no. */
export class KubeClient {
  readonly #options: KubeClientOptions;
  readonly #agent: Agent;

  constructor(options: KubeClientOptions) {
    this.#options = options;
    const { ca, cert, key, serverName: servername } = options;
    const name = servername === undefined ? {} : { servername };
    this.#agent = new Agent({ ca, cert, key, ...name, keepAlive: true, maxSockets: 16 });
  }

  /** GET `path`, which begins with `/api` or `/apis` and may carry a query. */
  async get<T>(path: string, signal: AbortSignal): Promise<T> {
    return (await this.#json({ method: "GET", path, signal })) as T;
  }

  async create<T extends object>(path: string, object: T, signal: AbortSignal): Promise<T> {
    return (await this.#json({
      method: "POST",
      path,
      body: JSON.stringify(object),
      contentType: "application/json",
      signal,
    })) as T;
  }

  /** With `uid` only the object that has it; another one under its name is a conflict. */
  async delete(path: string, signal: AbortSignal, uid?: string): Promise<void> {
    const options = { apiVersion: "v1", kind: "DeleteOptions", preconditions: { uid } };
    const body = uid === undefined ? {} : { body: JSON.stringify(options), contentType: "application/json" };
    await this.#json({ method: "DELETE", path, ...body, signal });
  }

  async patch(
    path: string,
    patch: { readonly type: PatchType; readonly body: unknown },
    signal: AbortSignal,
  ): Promise<KubeObject> {
    const contentType = PATCH_MEDIA_TYPES[patch.type];
    return (await this.#json({
      method: "PATCH",
      path,
      body: JSON.stringify(patch.body),
      contentType,
      signal,
    })) as KubeObject;
  }

  /** Sends a GET and hands over the answer's body as it streams in. */
  async stream(path: string, signal: AbortSignal): Promise<IncomingMessage> {
    return this.#send({ method: "GET", path, signal });
  }

  /** Closes idle connections. Requests under way end by their signals. */
  close(): void {
    this.#agent.destroy();
  }

  async #json(call: Call): Promise<unknown> {
    return JSON.parse(await text(await this.#send(call)));
  }

  async #send(call: Call): Promise<IncomingMessage> {
    const response = await this.#exchange(call);
    const status = response.statusCode ?? 0;
    if (status >= 200 && status < 300) return response;
    throw ApiError.fromBody(status, await text(response));
  }

  #exchange(call: Call): Promise<IncomingMessage> {
    const { userAgent, bearerToken } = this.#options;
    const headers: Record<string, string> = { accept: "application/json", "user-agent": userAgent };
    if (bearerToken !== undefined) headers["authorization"] = `Bearer ${bearerToken}`;
    if (call.contentType !== undefined) headers["content-type"] = call.contentType;
    if (call.body !== undefined) headers["content-length"] = String(Buffer.byteLength(call.body)); // not added to DELETE
    return new Promise((resolve, reject) => {
      const url = new URL(call.path, this.#options.server);
      const request = httpsRequest(
        url,
        { method: call.method, agent: this.#agent, headers, signal: call.signal },
        resolve,
      );
      request.on("error", reject);
      request.end(call.body);
    });
  }
}
