import { MariaDbServer, NatsServer, PostgresServer } from "@k3s/testkit";

/** A server that our datastore keeps its data in. */
export interface Database extends AsyncDisposable {
  /** As `--datastore-endpoint` takes it. */
  readonly endpoint: string;
  readonly pid: number;
}

export type DatabaseName = "mariadb" | "postgres" | "nats";

/** Starts one on an empty folder, with the settings of the tests and room for a million keys. */
export const startDatabase: Readonly<Record<DatabaseName, (folder: string) => Promise<Database>>> = {
  mariadb: async (folder) => {
    const server = await MariaDbServer.start({ folder, args: ["--innodb-buffer-pool-size=512M"] });
    return of(server, `mysql://root@tcp(127.0.0.1:${server.port})/kine`);
  },
  postgres: async (folder) => {
    const server = await PostgresServer.start({ folder, settings: ["shared_buffers=512MB", "autovacuum=on"] });
    return of(server, `postgres://postgres@127.0.0.1:${server.port}/kine?sslmode=disable`);
  },
  nats: async (folder) => {
    const server = await NatsServer.start(folder);
    return {
      endpoint: `nats://${server.endpoint}`,
      pid: server.pid,
      [Symbol.asyncDispose]: () => server.stop(),
    };
  },
};

function of(server: AsyncDisposable & { readonly pid: number }, endpoint: string): Database {
  return { endpoint, pid: server.pid, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() };
}
