import { repeat } from "@k3s/async";
import { ApiError, follow, isConflict, type KubeClient, type KubeObject } from "@k3s/kube-client";
import type { Component } from "@k3s/lifecycle";
import type { Logger } from "@k3s/log";
import { SECRET_SUFFIX, SECRET_TYPE, SECRETS } from "./node-passwords.ts";

type Secret = KubeObject & {
  readonly metadata: KubeObject["metadata"] & {
    readonly creationTimestamp?: string;
    readonly ownerReferences?: readonly { readonly uid: string }[];
  };
};

interface List<T> {
  readonly items: readonly T[];
}

const SWEEP_MS = 60_000;
/** A node that asked for its certificates has registered by then, or never will. */
const ORPHAN_AGE_MS = 600_000;

/** Ties each node's password to its Node object, so that both go together, and removes those of nodes that never came. */
export class NodePasswordKeeper implements Component {
  readonly name = "node-password-keeper";
  readonly #client: () => KubeClient;
  readonly #log: Logger;
  readonly #stopping = new AbortController();
  #work: Promise<unknown> = Promise.resolve();

  constructor(client: () => KubeClient, log: Logger) {
    this.#client = client;
    this.#log = log;
  }

  start(): Promise<void> {
    const { signal } = this.#stopping;
    const client = this.#client();
    const onObject = (node: KubeObject, inner: AbortSignal) => own(client, node, inner);
    const following = follow(client, { path: "/api/v1/nodes", onObject, log: this.#log }, signal);
    this.#work = Promise.all([following, repeat(SWEEP_MS, () => this.#sweep(client), signal)]);
    return Promise.resolve();
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error("it is being stopped"));
    await this.#work;
  }

  async #sweep(client: KubeClient): Promise<void> {
    const { signal } = this.#stopping;
    try {
      const [secrets, nodes] = await Promise.all([
        client.get<List<Secret>>(`${SECRETS}?fieldSelector=${encodeURIComponent(`type=${SECRET_TYPE}`)}`, signal),
        client.get<List<KubeObject>>("/api/v1/nodes", signal),
      ]);
      const names = new Set(nodes.items.map(({ metadata }) => `${metadata.name}${SECRET_SUFFIX}`));
      for (const { metadata } of secrets.items) {
        const ageMs = Date.now() - Date.parse(metadata.creationTimestamp ?? "");
        if (!names.has(metadata.name) && ageMs > ORPHAN_AGE_MS) await remove(client, metadata, signal);
      }
    } catch (error) {
      if (!signal.aborted) this.#log.warn({ error }, "passwords of nodes could not be tidied up");
    }
  }
}

async function own(client: KubeClient, { metadata }: KubeObject, signal: AbortSignal): Promise<void> {
  const path = `${SECRETS}/${encodeURIComponent(metadata.name + SECRET_SUFFIX)}`;
  const secret = await unlessAbsent(client.get<Secret>(path, signal));
  const { uid = "", name } = metadata;
  if (secret === undefined || secret.metadata.ownerReferences?.some((owner) => owner.uid === uid) === true) return;
  const ownerReferences = [{ apiVersion: "v1", kind: "Node", name, uid }];
  await unlessAbsent(client.patch(path, { type: "merge", body: { metadata: { ownerReferences } } }, signal));
}

/** Not the one that a node has made meanwhile under the same name. */
async function remove(client: KubeClient, { name, uid }: Secret["metadata"], signal: AbortSignal): Promise<void> {
  try {
    await unlessAbsent(client.delete(`${SECRETS}/${encodeURIComponent(name)}`, signal, uid));
  } catch (error) {
    if (!isConflict(error)) throw error;
  }
}

async function unlessAbsent<T>(call: Promise<T>): Promise<T | undefined> {
  try {
    return await call;
  } catch (error) {
    if (error instanceof ApiError && error.status === 404) return undefined;
    throw error;
  }
}
