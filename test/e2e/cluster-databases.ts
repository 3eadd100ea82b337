import { chmod, copyFile, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ensureServerPki, serverTlsPaths } from "@k3s/pki";
import { MariaDbServer, NatsServer, PostgresServer, startEtcd } from "@k3s/testkit";

/** A database of others that a cluster keeps its data in, and what can happen to it. */
export interface ClusterDatabase {
  /** As for --datastore-endpoint, of any server of the cluster. */
  readonly endpoint: string;
  /** Present where the database wants TLS: paths of PEM files. */
  readonly tls?: { readonly ca: string; readonly cert: string; readonly key: string };
  /** Clean end. */
  readonly stop: () => Promise<void>;
  /** Resolves when it answers again. */
  readonly restart: () => Promise<void>;
  /** Its connections stay, and nothing answers. */
  readonly freeze: () => Promise<void> | void;
  readonly thaw: () => Promise<void> | void;
}

/** Arguments of `k3s server`. */
export function serverArguments({ endpoint, tls }: ClusterDatabase): readonly string[] {
  const files = tls === undefined ? [] : [`cafile=${tls.ca}`, `certfile=${tls.cert}`, `keyfile=${tls.key}`];
  return [`endpoint=${endpoint}`, ...files].map((text) => `--datastore-${text}`);
}

/** Arguments of `k3s datastore status` and its like. */
export function toolArguments({ endpoint, tls }: ClusterDatabase): readonly string[] {
  const files = tls === undefined ? [] : [`--ca-file=${tls.ca}`, `--cert-file=${tls.cert}`, `--key-file=${tls.key}`];
  return [`--endpoint=${endpoint}`, ...files];
}

export interface DatabasePlace {
  /** Existing folder for its files. */
  readonly folder: string;
  /** Network namespace of the host it runs on. */
  readonly network: string;
  /** Address of that host. */
  readonly address: string;
  readonly undo: AsyncDisposableStack;
}

/** Each starts its database with an empty data folder. */
export const CLUSTER_DATABASES: Readonly<Record<string, (place: DatabasePlace) => Promise<ClusterDatabase>>> = {
  MariaDB: startMariaDb,
  PostgreSQL: startPostgres,
  NATS: startNats,
  "an external etcd": startExternalEtcd,
};

/** Reachable from other hosts, with a password that has to be read right. */
async function startMariaDb({ folder, network, address, undo }: DatabasePlace): Promise<ClusterDatabase> {
  const init = join(folder, "init.sql");
  await writeFile(init, `CREATE USER IF NOT EXISTS k3s IDENTIFIED BY 'p:a/s@s';\nGRANT ALL ON *.* TO k3s;\n`);
  const args = [`--init-file=${init}`, "--bind-address=0.0.0.0"];
  const server = undo.use(await MariaDbServer.start({ folder, network, args }));
  return {
    endpoint: `mysql://k3s:p:a/s@s@tcp(${address}:${server.port})/kubernetes`,
    stop: () => server.stop(),
    restart: () => server.restart(),
    freeze: () => server.freeze(),
    thaw: () => server.thaw(),
  };
}

/** TLS with certificates on both sides: no password, and no way in without one. */
async function startPostgres({ folder, network, address, undo }: DatabasePlace): Promise<ClusterDatabase> {
  const tls = await makeCertificates(folder, address);
  const [key, rules] = [join(folder, "server.key"), join(folder, "hba.conf")];
  await copyFile(tls.servingApiServer.key, key);
  await chmod(key, 0o600); // the server refuses others
  await writeFile(rules, "local all all trust\nhostssl all all samenet trust clientcert=verify-ca\n");
  const settings = [
    ...["listen_addresses=*", "ssl=on", `ssl_cert_file=${tls.servingApiServer.cert}`, `ssl_key_file=${key}`],
    ...[`ssl_ca_file=${tls.clientCa.cert}`, `hba_file=${rules}`],
  ];
  const server = undo.use(await PostgresServer.start({ folder, network, settings }));
  return {
    endpoint: `postgres://postgres@${address}:${server.port}/kubernetes`,
    tls: clientTls(tls),
    stop: () => server.stop(),
    restart: () => server.restart(),
    freeze: () => server.freeze(),
    thaw: () => server.thaw(),
  };
}

async function startNats({ folder, network, undo }: DatabasePlace): Promise<ClusterDatabase> {
  const server = await NatsServer.start(folder, { network, config: "max_payload: 4MB" });
  undo.defer(() => server.stop());
  return {
    endpoint: `nats://${server.endpoint}`,
    stop: () => server.stop(),
    restart: () => server.restart(),
    freeze: () => server.freeze(),
    thaw: () => server.thaw(),
  };
}

/** TLS with certificates on both sides. */
async function startExternalEtcd({ folder, network, address, undo }: DatabasePlace): Promise<ClusterDatabase> {
  const tls = await makeCertificates(folder, address);
  const etcd = await startEtcd(folder, { network, tls: { ...tls.servingApiServer, clientCa: tls.clientCa.cert } });
  const signal = (name: NodeJS.Signals) => void process.kill(etcd.program.pid, name);
  undo.defer(async () => {
    if (!etcd.program.hasExited) signal("SIGCONT");
    await etcd.program.stop();
  });
  return {
    endpoint: etcd.url,
    tls: clientTls(tls),
    stop: () => etcd.program.stop(),
    restart: () => etcd.restart(),
    freeze: () => signal("SIGSTOP"),
    thaw: () => signal("SIGCONT"),
  };
}

type Certificates = ReturnType<typeof serverTlsPaths>;

async function makeCertificates(folder: string, address: string): Promise<Certificates> {
  const serverDir = join(folder, "pki");
  await mkdir(serverDir);
  const apiServerUrl = "https://127.0.0.1:1";
  await ensureServerPki({
    serverDir,
    clusterDomain: "c.local",
    sans: ["127.0.0.1", address],
    apiServerUrl,
    hasEtcd: false,
  });
  return serverTlsPaths(serverDir);
}

function clientTls({ serverCa, clientSupervisor }: Certificates): NonNullable<ClusterDatabase["tls"]> {
  return { ca: serverCa.cert, ...clientSupervisor };
}
