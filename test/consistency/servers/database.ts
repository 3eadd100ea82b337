import { MariaDbServer, NatsServer, PostgresServer } from "@k3s/testkit";

/** A real database server of ours that harm can be done to. */
export interface Database extends AsyncDisposable {
  readonly port: number;
  /** As `--datastore-endpoint` takes it, for whoever comes by this port. */
  endpoint(port: number): string;
  kill(): Promise<void>;
  /** The orderly end. */
  stop(): Promise<void>;
  /** After its end: same data and port. */
  restart(): Promise<void>;
  freeze(): Promise<void>;
  thaw(): Promise<void> | void;
}

/** Of each key NATS keeps so many versions at most; it takes no larger number. */
const NATS_HISTORY = 64;
const NATS_CONFIG = "max_payload: 4MB";

/** Starts one of each kind, with its files in `folder`. */
export const databases = {
  mysql: async (folder: string) =>
    as(await MariaDbServer.start({ folder }), (port) => `mysql://root@tcp(127.0.0.1:${port})/k3s`),
  postgres: async (folder: string) =>
    as(await PostgresServer.start({ folder }), (port) => `postgres://postgres@127.0.0.1:${port}/k3s`),
  nats: async (folder: string) =>
    as(
      await NatsServer.start(folder, { config: NATS_CONFIG }),
      (port) => `nats://127.0.0.1:${port}?revHistory=${NATS_HISTORY}`,
    ),
} as const satisfies Readonly<Record<string, (folder: string) => Promise<Database>>>;
export type DatabaseName = keyof typeof databases;

type Server = Omit<Database, "endpoint" | keyof AsyncDisposable>;

function as(server: Server, endpoint: (port: number) => string): Database {
  return {
    ...{ port: server.port, endpoint },
    kill: () => server.kill(),
    stop: () => server.stop(),
    restart: () => server.restart(),
    freeze: () => server.freeze(),
    thaw: () => server.thaw(),
    [Symbol.asyncDispose]: () => server.stop(),
  };
}
