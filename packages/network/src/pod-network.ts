import { aborted, deadline, retry, sleep } from "@k3s/async";
import { describeError } from "@k3s/errors";
import type { KubeClient } from "@k3s/kube-client";
import type { Component, StartContext } from "@k3s/lifecycle";
import { leaseAnnotations, missingAnnotations } from "./lease.ts";
import { NodeNetwork, type Leases, type NodeNetworkOptions } from "./node-network.ts";
import { NodeView } from "./node-view.ts";

export interface PodNetworkOptions extends NodeNetworkOptions {
  /** As the kubelet, which may write to its own Node. */
  readonly client: () => KubeClient;
  /** For reading other nodes where the kubelet may not: Kubernetes 1.32 and later. */
  readonly controller: () => KubeClient;
}

/** At least so often the kernel is looked at: whatever somebody removes is back after that. */
const CHECK_INTERVAL_MS = 10_000;
/** Between two attempts to publish. */
const RETRY_MS = 1_000;
const RETRY = { delayMinMs: 250, delayMaxMs: 5_000 };
const REVIEW_INTERVAL_MS = 600_000;

/**
 * Connects the pods of this node with those of the others, in the way of flannel, and keeps it so while it runs. When it stops
 * all stays in place: pods run on.
 */
export class PodNetwork implements Component {
  readonly name = "pod-network";
  readonly #options: PodNetworkOptions;
  readonly #stopping = new AbortController();
  readonly #network: NodeNetwork;
  readonly #view: NodeView;
  #wake: () => void = () => undefined;
  #isWoken = false;
  #running: Promise<unknown> = Promise.resolve();

  constructor(options: PodNetworkOptions) {
    this.#options = options;
    this.#network = new NodeNetwork(options);
    const onChange = () => {
      this.#isWoken = true;
      this.#wake();
    };
    this.#view = new NodeView({ log: options.log, onChange });
  }

  /** Resolves once the node has its range and all that could be done for it is done: from now on pods get addresses. */
  async start({ signal, lost }: StartContext): Promise<void> {
    const ready = Promise.withResolvers<void>();
    const stop = this.#stopping.signal;
    const onReady = () => {
      ready.resolve();
    };
    this.#running = Promise.all([this.#follow(stop), this.#keep(stop, onReady)]).catch((error: unknown) => {
      if (!stop.aborted) lost(error instanceof Error ? error : new Error(String(error)));
    });
    await Promise.race([ready.promise, aborted(signal)]);
    signal.throwIfAborted();
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error("it is being stopped"));
    await this.#running;
  }

  /** What the kubelet may do changes when servers are upgraded under a running node, so it is asked again now and then. */
  async #follow(signal: AbortSignal): Promise<void> {
    const { client, controller, log } = this.#options;
    const onRetry = (error: unknown) => log.debug({ reason: describeError(error) }, "cannot ask who may list nodes");
    while (!signal.aborted) {
      const mayList = await retry((attempt) => mayListNodes(client(), attempt), { ...RETRY, onRetry }, signal);
      using turn = deadline(REVIEW_INTERVAL_MS, "Following nodes", signal);
      await this.#view.follow(mayList ? client() : controller(), turn);
    }
  }

  async #keep(signal: AbortSignal, onReady: () => void): Promise<void> {
    while (!signal.aborted) {
      this.#isWoken = false;
      const leases = await this.#network.bring(this.#view.nodes, signal);
      const isTold = leases !== undefined && (await this.#tell(leases, signal));
      if (leases !== undefined) onReady();
      await this.#pause(leases === undefined || isTold ? CHECK_INTERVAL_MS : RETRY_MS, signal);
    }
  }

  /** Tells the others about this node. False when the API did not take it. */
  async #tell(leases: Leases, signal: AbortSignal): Promise<boolean> {
    const { backend, nodeName, client, log } = this.#options;
    const own = this.#view.nodes.get(nodeName);
    if (own === undefined) return false;
    const annotations = missingAnnotations(own, leaseAnnotations(backend, leases));
    if (Object.keys(leases).length === 0 || Object.keys(annotations).length === 0) return true;
    try {
      const path = `/api/v1/nodes/${encodeURIComponent(nodeName)}/status`;
      await client().patch(path, { type: "merge", body: { metadata: { annotations } } }, signal);
      log.info({ annotations }, "node is a member of the pod network");
      return true;
    } catch (error) {
      if (!signal.aborted)
        log.warn({ reason: describeError(error) }, "cannot publish the node's part of the pod network");
      return false;
    }
  }

  /** Until something has changed, but no longer than `ms`. */
  async #pause(ms: number, signal: AbortSignal): Promise<void> {
    if (this.#isWoken) return;
    const woken = new AbortController();
    this.#wake = () => woken.abort();
    await sleep(ms, AbortSignal.any([signal, woken.signal])).catch(() => undefined);
    this.#wake = () => undefined;
  }
}

interface AccessReview {
  readonly status?: { readonly allowed?: boolean };
}

async function mayListNodes(client: KubeClient, signal: AbortSignal): Promise<boolean> {
  const review = { spec: { resourceAttributes: { verb: "list", resource: "nodes" } } };
  const path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
  const { status } = await client.create<typeof review & AccessReview>(path, review, signal);
  return status?.allowed === true;
}
