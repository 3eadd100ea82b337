import { after, before, describe, type TestContext } from "node:test";
import { CaseClient } from "./case-client.ts";
import { SERVER_KINDS, startServer, type CaseServer, type ServerKind, type ServerOptions } from "./case-server.ts";
import { differs, type Difference } from "./known-differences.ts";

/** What a test works with. */
export interface Case {
  readonly server: CaseServer;
  readonly client: CaseClient;
  /** Another client; needed after a restart. */
  readonly connect: () => CaseClient;
  /** A key below a prefix that no other test of the server uses; without a name the prefix itself. */
  readonly key: (name?: string) => string;
  /** Whether this server is known to behave differently there. */
  readonly differs: (difference: Difference) => boolean;
}

/** Gives a test its client. The server is shared by the tests of one file, unless options are given. */
export type StartCase = (t: TestContext, options?: ServerOptions) => Promise<Case>;

/** Declares the same tests against every kind of server. */
export function onEachServer(
  declare: (start: StartCase, differs: Case["differs"], kind: ServerKind) => void,
  kinds: readonly ServerKind[] = SERVER_KINDS,
): void {
  for (const kind of kinds)
    describe(`on ${kind}`, () => {
      let shared: Promise<CaseServer> | undefined;
      let cases = 0;
      before(async () => {
        shared = startServer(kind);
        await shared;
      });
      after(async () => (await shared)?.[Symbol.asyncDispose]());
      const start: StartCase = async (t, options) => {
        const server = options === undefined ? await (shared ??= startServer(kind)) : await startOwn(t, kind, options);
        const connect = () => new CaseClient(t, `127.0.0.1:${server.port}`);
        const prefix = `/case/${cases++}/`;
        return {
          server,
          client: connect(),
          connect,
          key: (name = "") => prefix + name,
          differs: (difference) => differs(kind, difference),
        };
      };
      declare(start, (difference) => differs(kind, difference), kind);
    });
}

async function startOwn(t: TestContext, kind: ServerKind, options: ServerOptions): Promise<CaseServer> {
  const server = await startServer(kind, options);
  t.after(() => server[Symbol.asyncDispose]());
  return server;
}
