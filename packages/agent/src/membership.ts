import { X509Certificate } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { sleep } from "@k3s/async";
import { parseClusterConfig, type ClusterConfig } from "@k3s/cluster-config";
import { describeError } from "@k3s/errors";
import { readIfExists } from "@k3s/files";
import type { Component } from "@k3s/lifecycle";
import { agentPaths } from "@k3s/pki";
import { joinCluster, type JoinOptions } from "./join-cluster.ts";

/** How long a node that has everything on disk waits for a server before it goes on without. */
const PATIENCE_MS = 10_000;

/** What the node has of its cluster: asked for anew at each start, taken from disk when nobody answers. */
export class Membership implements Component {
  readonly name = "membership";
  readonly #options: JoinOptions;
  readonly #stopping = new AbortController();
  #joining: Promise<ClusterConfig> | undefined;

  constructor(options: JoinOptions) {
    this.#options = options;
  }

  /** The settings of the cluster. Rejects with NodeError when the node cannot become, or stay, a member. */
  async join(signal: AbortSignal): Promise<ClusterConfig> {
    const { log } = this.#options;
    const joining = joinCluster(this.#options, this.#stopping.signal);
    this.#joining = joining;
    joining.catch(() => undefined); // whoever waits below hears of it
    const cancelled = new Promise<never>((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
    });
    const known = await this.#onDisk();
    if (known === undefined) return await Promise.race([joining, cancelled]);
    const patience = sleep(PATIENCE_MS, signal).then(() => undefined);
    const joined = await Promise.race([joining, patience, cancelled]);
    if (joined !== undefined) return joined;
    log.warn({}, "no server answers: the node goes on with what its last start left on disk, and keeps trying");
    joining.then(
      (renewed) => {
        log.info({}, "a server answers again: certificates are renewed");
        if (!isDeepStrictEqual(renewed, known))
          log.warn({}, "the settings of the cluster have changed: they take effect at the next start of this agent");
      },
      (error: unknown) => {
        if (!this.#stopping.signal.aborted)
          log.error({ reason: describeError(error) }, "the cluster does not take this node back");
      },
    );
    return known;
  }

  start(): Promise<void> {
    return Promise.resolve();
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error("it is being stopped"));
    await this.#joining?.catch(() => undefined);
  }

  /** Undefined unless everything a node needs is there and still valid. */
  async #onDisk(): Promise<ClusterConfig | undefined> {
    const { paths } = this.#options.config;
    const files = agentPaths(paths.agentDir);
    const certificates = [files.servingKubelet, files.clientKubelet, files.clientKubeProxy, files.clientK3sController];
    const needed = [files.clientCa, files.serverCa, files.kubeletKubeconfig, ...certificates.map(({ key }) => key)];
    try {
      const found = await Promise.all(needed.map((path) => readIfExists(path)));
      const valid = await Promise.all(certificates.map(async ({ cert }) => isValid(await readIfExists(cert))));
      const text = await readIfExists(paths.clusterConfigFile);
      if (text === undefined || found.includes(undefined) || valid.includes(false)) return undefined;
      return parseClusterConfig(text.toString("utf8"));
    } catch {
      return undefined; // what cannot be read is asked for again
    }
  }
}

function isValid(certificate: Buffer | undefined): boolean {
  return certificate !== undefined && Date.now() < new X509Certificate(certificate).validToDate.getTime();
}
