import {
  bootstrapPolicy,
  prepareBootstrap,
  saveBootstrap,
  type BootstrapStore,
  type Preparation,
} from "@k3s/bootstrap-data";
import type { ServerConfig } from "@k3s/config";
import type { Component, StartContext } from "@k3s/lifecycle";
import type { Logger } from "@k3s/log";
import { ensureServerPki } from "@k3s/pki";
import { ensurePasswd, readServerToken, writeTokenFiles, type Passwords } from "@k3s/token";

export interface ServerStateOptions {
  readonly config: ServerConfig;
  readonly store: () => BootstrapStore;
  /** Whether other servers may use the same datastore. */
  readonly isShared: boolean;
  /** Where programs on this machine reach kube-apiserver. */
  readonly apiServerUrl: string;
  readonly log: Logger;
}

/** A SQLite file has one server: a lock in it was left by a start that did not come to its end. */
const ALONE_POLICY = { ...bootstrapPolicy, pollMs: 100, lockPatience: 0 };

interface Begun {
  readonly preparation: Preparation;
  readonly token: string | undefined;
  readonly bootstrapStore: BootstrapStore;
}

/**
 * The identity of the cluster and of this server: what the datastore knows of it is brought to disk first, then whatever is
 * missing is made, then a new identity is stored. After start every file of the server is in place.
 */
export class ServerState implements Component {
  readonly name = "server-state";
  readonly #options: ServerStateOptions;

  constructor(options: ServerStateOptions) {
    this.#options = options;
  }

  async start({ signal }: StartContext): Promise<void> {
    const { config, store, isShared, log } = this.#options;
    const { serverDir } = config.paths;
    const bootstrapStore = store();
    const token = await readServerToken(serverDir, config.token);
    const policy = isShared ? bootstrapPolicy : ALONE_POLICY;
    let passwords: Passwords | undefined;
    while (passwords === undefined) {
      const preparation = await prepareBootstrap({ store: bootstrapStore, serverDir, token, log, signal, policy });
      passwords = await this.#complete({ preparation, token, bootstrapStore }, signal);
    }
    await writeTokenFiles({ serverDir, passwords, hasAgentToken: config.agentToken !== undefined });
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }

  /** Makes and stores what is missing. Undefined: another server did so first, and what was made here is gone again. */
  async #complete({ preparation, token, bootstrapStore }: Begun, signal: AbortSignal): Promise<Passwords | undefined> {
    const { config, log } = this.#options;
    const { serverDir } = config.paths;
    await this.#makeCertificates();
    const passwords = await ensurePasswd({ serverDir, token, agentToken: config.agentToken });
    const record = { store: bootstrapStore, serverDir, token: passwords.server, log, signal };
    if (preparation.kind === "reconciled") {
      // A changed passwd goes into an existing record too, else the next start finds it newer than the datastore.
      if (passwords.isChanged) await saveBootstrap({ ...record, isOverriding: true });
      return passwords;
    }
    const { lockRevision } = preparation;
    if ((await saveBootstrap({ ...record, lockRevision })) !== "lost") return passwords;
    log.warn({}, "another server made the identity of the cluster meanwhile, this one takes it over");
    await preparation.withdraw();
    return undefined;
  }

  async #makeCertificates(): Promise<void> {
    const { config, apiServerUrl, log } = this.#options;
    const { paths, clusterDomain, servingSans: sans } = config;
    const { made } = await ensureServerPki({ serverDir: paths.serverDir, clusterDomain, sans, apiServerUrl });
    for (const { path, reason } of made) log.info({ path, reason }, "certificate made");
  }
}
