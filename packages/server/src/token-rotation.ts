import { beginTokenChange, type BootstrapStore } from "@k3s/bootstrap-data";
import type { Logger } from "@k3s/log";
import { serverCredPaths } from "@k3s/pki";
import { formatPasswd, planTokenChange, readPasswd, writePasswd, writeTokenFiles } from "@k3s/token";

export interface TokenRotationOptions {
  readonly serverDir: string;
  /** Whether agents have a token of their own (`--agent-token`). */
  readonly hasAgentToken: boolean;
  /** Usable by the time of a change. */
  readonly store: () => BootstrapStore;
  readonly log: Logger;
}

/** Changes the token of the cluster, one change at a time. What runs goes on with the old one until it is started again. */
export class TokenRotation {
  readonly #options: TokenRotationOptions;
  #tail: Promise<unknown> = Promise.resolve();

  constructor(options: TokenRotationOptions) {
    this.#options = options;
  }

  /** Takes a whole token, a password, or an empty string to have one made up. Rejects with NodeError, everything being as before. */
  async change(newToken: string): Promise<void> {
    const turn = this.#tail.then(() => this.#change(newToken));
    this.#tail = turn.catch(() => undefined);
    await turn;
  }

  /**
   * The record first, then `server/token`, then the users: whoever is cut off in between starts again with what
   * `server/token` says, and finds a record for that whose users win over older ones on disk.
   */
  async #change(newToken: string): Promise<void> {
    const { serverDir, hasAgentToken, store, log } = this.#options;
    const passwdPath = serverCredPaths(serverDir).passwd;
    const users = await readPasswd(passwdPath);
    const { before, after, entries } = planTokenChange(users, { newToken, hasAgentToken });
    if (after.server === before.server) return; // asked again after an answer that got lost
    await using undo = new AsyncDisposableStack();
    const change = await beginTokenChange({
      ...{ store: store(), serverDir, log, passwd: formatPasswd(entries) },
      oldToken: before.server,
      newToken: after.server,
    });
    undo.defer(() => change.undo());
    const writeFiles = async (passwords: typeof after) => {
      await writeTokenFiles({ serverDir, passwords, hasAgentToken });
    };
    undo.defer(() => writeFiles(before));
    await writeFiles(after);
    undo.defer(() => writePasswd(passwdPath, users));
    await writePasswd(passwdPath, entries);
    await change.finish();
    undo.move();
    log.info({}, "the token was changed; servers, and agents that join with it, need the new one at their next start");
  }
}
