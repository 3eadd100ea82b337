import type { Store } from "@k3s/datastore";
import type { Component, StartContext } from "@k3s/lifecycle";
import type { Logger } from "@k3s/log";
import { assertSocketFree, type TcpAddress } from "./listen.ts";
import { serveGrpcJs, type Serving } from "./serve-grpc-js.ts";
import type { ServiceOptions } from "./service-context.ts";
import { createServices } from "./services.ts";

export interface EtcdApiServerOptions extends Pick<ServiceOptions, "progressIntervalMs" | "watchBacklogBytes"> {
  /** Asked for once, in start(): the store is opened by a component that starts earlier. */
  readonly store: () => Store;
  /** Absolute path of the unix socket kube-apiserver connects to. */
  readonly socketPath: string;
  /** A loopback address for tools, besides the socket. */
  readonly tcp?: TcpAddress;
  /** Name of the one member, shown by `etcdctl member list`. */
  readonly memberName: string;
  readonly log: Logger;
}

/** Offers a store as etcd v3 on a unix socket. */
export class EtcdApiServer implements Component {
  readonly name = "etcd-api";
  readonly #options: EtcdApiServerOptions;
  readonly #stopping = new AbortController();
  #serving: Serving | undefined;

  constructor(options: EtcdApiServerOptions) {
    this.#options = options;
  }

  /** The bound TCP port; 0 while not running or without a TCP address. */
  get tcpPort(): number {
    return this.#serving?.tcpPort ?? 0;
  }

  async prepare(): Promise<void> {
    await assertSocketFree(this.#options.socketPath);
  }

  async start({ signal }: Pick<StartContext, "signal">): Promise<void> {
    signal.throwIfAborted();
    const { store, socketPath, tcp, memberName, log, ...limits } = this.#options;
    const services = createServices(store(), {
      ...limits,
      log,
      signal: this.#stopping.signal,
      member: { name: memberName, peerUrls: [], clientUrls: [`unix://${socketPath}`] },
    });
    this.#serving = await serveGrpcJs(services, { socketPath, tcp });
    log.info({ socketPath, tcpPort: this.tcpPort }, "etcd API is served");
  }

  async stop(hurry: AbortSignal): Promise<void> {
    const serving = this.#serving;
    this.#serving = undefined;
    if (serving === undefined) return;
    // Frees the address before the streams end, so that resuming clients do not come back to us.
    const closed = serving.close(hurry);
    this.#stopping.abort();
    await closed;
  }
}
