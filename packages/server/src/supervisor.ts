import type { ServerConfig } from "@k3s/config";
import type { Component } from "@k3s/lifecycle";
import type { Logger } from "@k3s/log";
import { DynamicCertificate, serverCredPaths, serverTlsPaths } from "@k3s/pki";
import { SupervisorListener, type Routes, type TokenCheck } from "@k3s/supervisor-api";
import { PasswordAuthenticator, readPasswd } from "@k3s/token";

export interface SupervisorParts {
  readonly config: ServerConfig;
  readonly routes: Routes;
  readonly tokens: TokenCheck;
  readonly log: Logger;
}

/** The one port with its certificate, which it keeps renewed, and its users. */
export class Supervisor implements Component {
  readonly name = "supervisor";
  readonly #config: ServerConfig;
  readonly #parts: SupervisorParts;
  readonly #log: Logger;
  readonly #stopping = new AbortController();
  #listener: SupervisorListener | undefined;
  #certificate: DynamicCertificate | undefined;
  #renewing: Promise<void> = Promise.resolve();

  constructor(parts: SupervisorParts) {
    this.#parts = parts;
    this.#config = parts.config;
    this.#log = parts.log.child({ component: this.name });
  }

  async start(): Promise<void> {
    const { serverDir } = this.#config.paths;
    const [certificate, passwords] = await Promise.all([
      DynamicCertificate.open({ serverDir, configuredNames: this.#config.servingSans, log: this.#log }),
      readPasswd(serverCredPaths(serverDir).passwd).then((users) => new PasswordAuthenticator(users)),
    ]);
    this.#certificate = certificate;
    this.#listener = this.#createListener(certificate, passwords);
    await this.#listener.start();
    this.#renewing = certificate.keepRenewed(this.#stopping.signal);
  }

  async stop(hurry: AbortSignal): Promise<void> {
    this.#stopping.abort();
    await this.#listener?.stop(hurry);
    await this.#renewing;
  }

  /** The certificate of the port; there between start and stop. */
  get certificate(): DynamicCertificate {
    if (this.#certificate === undefined) throw new Error("Cannot use certificate of the supervisor: it is not started");
    return this.#certificate;
  }

  /**
   * Whether requests are passed to kube-apiserver; until then they get 503. From the first time on the certificate takes
   * the names of this server only (upstream's default, `tls-san-security`): strangers could fill it up with theirs.
   */
  setApiserverReady(isReady: boolean): void {
    const ownNames = new Set(this.#config.servingSans); // the node's name and addresses are among them
    if (isReady) this.#certificate?.restrictNames((name) => ownNames.has(name));
    this.#listener?.setApiserverReady(isReady);
  }

  #createListener(certificate: DynamicCertificate, passwords: PasswordAuthenticator): SupervisorListener {
    const { paths, httpsListenPort, bindAddress, loopbackAddress, apiserverPort } = this.#config;
    const tls = serverTlsPaths(paths.serverDir);
    return new SupervisorListener({
      port: httpsListenPort,
      ...(bindAddress === undefined ? {} : { bindAddress }),
      files: {
        serverCa: tls.serverCa.cert,
        clientCa: tls.clientCa.cert,
        proxyCertificate: tls.authProxy.cert,
        proxyKey: tls.authProxy.key,
      },
      certificate,
      passwords,
      tokens: this.#parts.tokens,
      routes: this.#parts.routes,
      apiserver: { host: loopbackAddress, port: apiserverPort },
      log: this.#log,
    });
  }
}
