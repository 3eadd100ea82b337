import { ApiError, type KubeClient, type KubeObject } from "@k3s/kube-client";
import type { Logger } from "@k3s/log";
import { failures, RouteRefusal, type RouteRequest } from "@k3s/supervisor-api";
import { SECRET_SUFFIX, type NodePasswords } from "./node-passwords.ts";

export interface NodeCheckOptions {
  /** Undefined until kube-apiserver answers and the controllers run. */
  readonly client: () => KubeClient | undefined;
  readonly passwords: NodePasswords;
  /** The node on this server's own machine, which asks before there is an API. */
  readonly localNode: { readonly name: string; readonly password: () => Promise<string> } | undefined;
  readonly log: Logger;
}

const NODE_USER = "system:node:";
/** What Kubernetes takes as the name of an object (RFC 1123), and the longest that leaves room for its Secret's. */
const SUBDOMAIN = /^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$/;
const NAME_LENGTH_MAX = 253 - SECRET_SUFFIX.length;

/**
 * Lets nobody have the certificates of a node but the machine that first joined under its name: that machine has the
 * password whose hash is in a Secret, or the node's certificate.
 */
export class NodeCheck {
  readonly #options: NodeCheckOptions;

  constructor(options: NodeCheckOptions) {
    this.#options = options;
  }

  /** Resolves with the name of the node, in lower case. Rejects with RouteRefusal, in k3s's codes and words. */
  async check(request: RouteRequest): Promise<string> {
    const name = request.header("k3s-node-name")?.toLowerCase() ?? "";
    const password = request.header("k3s-node-password") ?? "";
    if (name === "") throw badRequest("node name not set");
    if (password === "") throw badRequest("node password not set");
    if (name.length > NAME_LENGTH_MAX || !SUBDOMAIN.test(name)) throw badRequest("node name is no DNS subdomain");
    const { name: user, proof } = request.caller;
    const isNode = proof === "certificate" && user.startsWith(NODE_USER);
    if (isNode && user.slice(NODE_USER.length) !== name)
      throw badRequest("header node name does not match auth node name");
    const client = this.#options.client();
    if (client === undefined) await this.#checkLocally(name, password);
    else await this.#checkInCluster({ client, name, password, isNode, signal: request.signal });
    return name;
  }

  async #checkLocally(name: string, password: string): Promise<void> {
    const { localNode } = this.#options;
    if (localNode?.name !== name) throw new RouteRefusal(failures.coreNotReady);
    if ((await localNode.password()) !== password) throw wrongPassword(name);
  }

  async #checkInCluster(check: {
    readonly client: KubeClient;
    readonly name: string;
    readonly password: string;
    readonly isNode: boolean;
    readonly signal: AbortSignal;
  }): Promise<void> {
    const { client, name, password, isNode, signal } = check;
    if (isNode && !(await exists(client, name, signal))) throw new RouteRefusal(failures.notAuthorized);
    const verdict = await this.#options.passwords.verify(client, { name, password }, signal);
    if (verdict === "busy") throw new RouteRefusal(failures.laneFull);
    if (verdict === "wrong") {
      this.#options.log.warn({ node: name, remote: "agent" }, "node password rejected");
      throw wrongPassword(name);
    }
  }
}

async function exists(client: KubeClient, name: string, signal: AbortSignal): Promise<boolean> {
  try {
    await client.get<KubeObject>(`/api/v1/nodes/${encodeURIComponent(name)}`, signal);
    return true;
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return false;
    throw error;
  }
}

function badRequest(message: string): RouteRefusal {
  return new RouteRefusal({ code: 400, reason: "BadRequest", message });
}

function wrongPassword(name: string): RouteRefusal {
  const message = `node password rejected: it does not match secret kube-system/${name}.node-password.k3s`;
  return new RouteRefusal({ code: 403, reason: "Forbidden", message });
}
