import { readFile } from "node:fs/promises";
import { TokenReviewer } from "@k3s/agent-endpoints";
import { Latest } from "@k3s/async";
import { AccessReviewer, diagnosticRoutes } from "@k3s/diagnostics";
import type { KubeClient } from "@k3s/kube-client";
import type { Component } from "@k3s/lifecycle";
import type { Logger } from "@k3s/log";
import type { MetricsRegistry } from "@k3s/metrics";
import type { agentPaths } from "@k3s/pki";
import { SupervisorListener } from "@k3s/supervisor-api";

export interface DiagnosticsPortOptions {
  /** As on the servers (k3s). */
  readonly port: number;
  /** Undefined: every address. */
  readonly bindAddress: string | undefined;
  readonly files: ReturnType<typeof agentPaths>;
  /** Undefined: they are not shown. */
  readonly metrics: MetricsRegistry | undefined;
  readonly hasProfiles: boolean;
  /** As the kubelet, which may ask who somebody is and what he may do. */
  readonly client: () => KubeClient;
  readonly log: Logger;
}

/** What an agent answers itself, with the certificate of its kubelet: metrics and profiles, to those who may see them. */
export class DiagnosticsPort implements Component {
  readonly name = "diagnostics-port";
  readonly #options: DiagnosticsPortOptions;
  #listener: SupervisorListener | undefined;

  constructor(options: DiagnosticsPortOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    const { port, bindAddress, files, metrics, hasProfiles, client, log } = this.#options;
    const { serverCa, clientCa, servingKubelet, clientKubelet } = files;
    const [certPem, keyPem] = await Promise.all([
      readFile(servingKubelet.cert, "utf8"),
      readFile(servingKubelet.key, "utf8"),
    ]);
    const access = new AccessReviewer(client);
    this.#listener = new SupervisorListener({
      port,
      ...(bindAddress === undefined ? {} : { bindAddress }),
      files: { serverCa, clientCa, proxyCertificate: clientKubelet.cert, proxyKey: clientKubelet.key },
      certificate: { current: new Latest({ certPem, keyPem }), offerNames: () => Promise.resolve() },
      passwords: { check: () => Promise.resolve({ kind: "unknown" }) },
      tokens: new TokenReviewer(client),
      routes: { paths: diagnosticRoutes({ metrics, hasProfiles, access }), upgrades: new Map(), connect: undefined },
      apiserver: undefined,
      log,
    });
    await this.#listener.start();
    this.#listener.setApiserverReady(true); // it is the servers' balancer that knows whether one answers
  }

  async stop(hurry: AbortSignal): Promise<void> {
    await this.#listener?.stop(hurry);
  }
}
