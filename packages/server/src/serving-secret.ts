import { retry } from "@k3s/async";
import { follow, type KubeClient, type KubeObject } from "@k3s/kube-client";
import type { Component } from "@k3s/lifecycle";
import type { Logger } from "@k3s/log";
import type { DynamicCertificate, ServingSecret } from "@k3s/pki";

interface ServingSecretOptions {
  readonly client: () => KubeClient;
  readonly certificate: () => DynamicCertificate;
  readonly log: Logger;
}

type Secret = KubeObject & { readonly data?: Readonly<Record<string, string>> };

const COLLECTION = "/api/v1/namespaces/kube-system/secrets";
const SELECTED = `${COLLECTION}?fieldSelector=metadata.name%3Dk3s-serving`;
/** Of the annotations that are ours to remove (dynamiclistener). */
const PREFIX = "listener.cattle.io/";
const RETRY = { delayMinMs: 250, delayMaxMs: 30_000 };

/** Keeps the certificate of the port and Secret kube-system/k3s-serving the same, whichever of the two changes. */
export class ServingSecretKeeper implements Component {
  readonly name = "serving-secret";
  readonly #options: ServingSecretOptions;
  readonly #stopping = new AbortController();
  #running: Promise<void> = Promise.resolve();

  constructor(options: ServingSecretOptions) {
    this.#options = options;
  }

  /** Nobody waits for the Secret: the port serves without it. */
  start(): Promise<void> {
    this.#running = this.#run(this.#stopping.signal);
    return Promise.resolve();
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error("it is being stopped"));
    await this.#running;
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { client, log } = this.#options;
    const onObject = (found: Secret) => this.#unite(found, signal);
    const onDeleted = () => void this.#insist(signal);
    await this.#insist(signal); // first, so that the two do not both create it
    await Promise.all([
      this.#followCertificate(signal),
      follow<Secret>(client(), { path: SELECTED, onObject, onDeleted, log }, signal),
    ]);
  }

  async #followCertificate(signal: AbortSignal): Promise<void> {
    const { current } = this.#options.certificate();
    while (!signal.aborted) {
      const known = current.get();
      await this.#insist(signal);
      await current.until((now) => now !== known, signal).catch(() => undefined); // only `signal` ends it
    }
  }

  /** Tries until it works or `signal` aborts. Never rejects. */
  async #insist(signal: AbortSignal): Promise<void> {
    const onRetry = (error: unknown) =>
      this.#options.log.debug({ error }, "Secret k3s-serving could not be written, will try again");
    await retry(() => this.#synchronise(signal), { ...RETRY, onRetry }, signal).catch(() => undefined);
  }

  async #synchronise(signal: AbortSignal): Promise<void> {
    const client = this.#options.client();
    const { items } = await client.get<{ readonly items: readonly Secret[] }>(SELECTED, signal);
    const [found] = items;
    if (found === undefined) await client.create(COLLECTION, this.#options.certificate().toSecret(), signal);
    else await this.#unite(found, signal);
  }

  async #unite(found: Secret, signal: AbortSignal): Promise<void> {
    const { client, log } = this.#options;
    const certificate = this.#options.certificate();
    if (isSame(found, certificate.toSecret())) return;
    try {
      await certificate.merge(found);
    } catch (error) {
      log.warn({ error }, "Secret k3s-serving is not usable, writing it anew");
    }
    const wanted = certificate.toSecret();
    if (isSame(found, wanted)) return;
    const path = `${COLLECTION}/${wanted.metadata.name}`;
    await client().patch(path, { type: "merge", body: patchFor(found, wanted) }, signal);
  }
}

function isSame(found: Secret, { data, metadata }: ServingSecret): boolean {
  const hasAll = (values: object, held: Readonly<Record<string, string>> = {}) =>
    Object.entries(values).every(([name, value]) => held[name] === value);
  return hasAll(data, found.data) && hasAll(metadata.annotations, found.metadata.annotations);
}

/** Bound to the version seen: a change in between is read first. */
function patchFor({ metadata }: Secret, wanted: ServingSecret): object {
  const ours = Object.keys(metadata.annotations ?? {}).filter((name) => name.startsWith(PREFIX));
  const annotations = { ...Object.fromEntries(ours.map((name) => [name, null])), ...wanted.metadata.annotations };
  return { metadata: { resourceVersion: metadata.resourceVersion, annotations }, data: wanted.data };
}
