import { MariaDbServer, NatsServer, PostgresServer } from "@k3s/testkit";

/** A server that our datastore keeps its data in. */
export interface Database extends AsyncDisposable {
  /** As `--datastore-endpoint` takes it. */
  readonly endpoint: string;
  /** A restart changes it. */
  readonly pid: number;
  stop(): Promise<void>;
  kill(): Promise<void>;
  restart(): Promise<void>;
  /** Nothing answers any more, but connections stay. */
  freeze(): Promise<void>;
  thaw(): Promise<void>;
}

export type DatabaseName = "mariadb" | "postgres" | "nats";

/** Starts one on an empty folder, with the settings of the tests and room for a million keys. */
export const startDatabase: Readonly<Record<DatabaseName, (folder: string) => Promise<Database>>> = {
  mariadb: async (folder) => {
    const server = await MariaDbServer.start({ folder, args: ["--innodb-buffer-pool-size=512M"] });
    return of(server, () => `mysql://root@tcp(127.0.0.1:${server.port})/kine`);
  },
  postgres: async (folder) => {
    const server = await PostgresServer.start({ folder, settings: ["shared_buffers=512MB", "autovacuum=on"] });
    return of(server, () => `postgres://postgres@127.0.0.1:${server.port}/kine?sslmode=disable`);
  },
  nats: async (folder) => {
    const server = await NatsServer.start(folder);
    return of(server, () => `nats://${server.endpoint}`);
  },
};

/** One of the servers of the tests. */
interface Server extends Pick<Database, "pid" | "stop" | "kill" | "restart" | "freeze"> {
  thaw(): void | Promise<void>;
}

function of(server: Server, endpoint: () => string): Database {
  return {
    get endpoint() {
      return endpoint();
    },
    get pid() {
      return server.pid;
    },
    stop: () => server.stop(),
    kill: () => server.kill(),
    restart: () => server.restart(),
    freeze: () => server.freeze(),
    thaw: async () => server.thaw(),
    [Symbol.asyncDispose]: () => server.stop(),
  };
}
