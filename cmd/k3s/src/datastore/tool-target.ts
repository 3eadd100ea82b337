import { stat } from "node:fs/promises";
import { homedir } from "node:os";
import { loadDatastoreConfig } from "@k3s/config";
import {
  checkEndpoint,
  redactEndpoint,
  sqliteFile,
  type DatastoreTls,
  type DriverEndpoint,
} from "@k3s/datastore-endpoint";
import { EtcdCallError, EtcdClient } from "@k3s/etcd-client";
import type { CommandContext } from "../context.ts";

/** Which datastore a tool was pointed to: an endpoint, else the one of the node on this machine. */
export interface TargetFlags {
  readonly endpoint?: string | undefined;
  readonly dataDir?: string | undefined;
  readonly config?: string | undefined;
  readonly tls: DatastoreTls;
}

/** A server that answers as etcd. */
export interface LiveServer {
  readonly client: EtcdClient;
  readonly servers: readonly string[];
  readonly tls: DatastoreTls;
}

/** What a tool works on. */
export interface Target extends Disposable {
  /** For people; holds no password. */
  readonly label: string;
  /** Undefined where there is only the server to ask. */
  readonly database:
    | {
        readonly endpoint: DriverEndpoint;
        readonly folder: string;
        readonly tls: DatastoreTls;
        readonly env: CommandContext["env"];
      }
    | undefined;
  /** Undefined where no server runs, or none is known. */
  readonly server: LiveServer | undefined;
  /** Where a server of this node would answer; undefined where the datastore is not this node's. */
  readonly socket: string | undefined;
}

/** A server on this machine answers at once or not at all. */
const LOCAL_TIMEOUT_MS = 2000;
/** A server that is there may be busy, or have much to send. */
const WORK_LIMITS = { connectMs: 5000, timeoutMs: 60_000 };

/** Finds the datastore and, where it belongs to this node, the server that runs on it. Rejects with NodeError. */
export async function findTarget(flags: TargetFlags, context: CommandContext, signal: AbortSignal): Promise<Target> {
  if (flags.endpoint !== undefined)
    return targetOf({ text: flags.endpoint, tls: flags.tls, env: context.env, folder: ".", socket: undefined, signal });
  const { paths, datastoreEndpoint, datastoreTls } = await loadDatastoreConfig({
    flags: configFlags(flags),
    env: context.env,
    host: { isRoot: process.getuid?.() === 0, home: homedir() },
    signal,
  });
  const { serverDir, datastoreSocket } = paths;
  const place = { folder: serverDir, socket: datastoreSocket, signal };
  return targetOf({ text: datastoreEndpoint, tls: datastoreTls, env: context.env, ...place });
}

function configFlags({ dataDir, config }: TargetFlags): ReadonlyMap<string, readonly string[]> {
  const given = { "data-dir": dataDir, config };
  return new Map(
    Object.entries(given).flatMap(([name, text]) => (text === undefined ? [] : [[name, [text]] as const])),
  );
}

interface Place {
  readonly text: string;
  readonly tls: DatastoreTls;
  readonly env: CommandContext["env"];
  readonly folder: string;
  readonly socket: string | undefined;
  readonly signal: AbortSignal;
}

async function targetOf({ text, tls, env, folder, socket, signal }: Place): Promise<Target> {
  const endpoint = await checkEndpoint(text, tls, env);
  if (endpoint.kind === "etcd") {
    const { servers } = endpoint;
    const client = await EtcdClient.create({ servers, tls, folder, signal, ...WORK_LIMITS });
    const server = { client, servers, tls };
    return { label: servers.join(","), database: undefined, server, socket, ...closing(server) };
  }
  const server = socket === undefined ? undefined : await findServer(socket, signal);
  const label = endpoint.kind === "sqlite" ? sqliteFile(endpoint.dsn, folder) : redactEndpoint(text);
  return { label, database: { endpoint, folder, tls, env }, server, socket, ...closing(server) };
}

async function findServer(socket: string, signal: AbortSignal): Promise<LiveServer | undefined> {
  const isThere = await stat(socket).then(
    (found) => found.isSocket(),
    () => false,
  );
  if (!isThere) return undefined;
  const servers = [`unix://${socket}`];
  if (!(await answers(servers, signal))) return undefined;
  return { client: await EtcdClient.create({ servers, signal, ...WORK_LIMITS }), servers, tls: {} };
}

async function answers(servers: readonly string[], signal: AbortSignal): Promise<boolean> {
  const client = await EtcdClient.create({ servers, signal, timeoutMs: LOCAL_TIMEOUT_MS });
  try {
    await client.status();
    return true;
  } catch (error) {
    if (error instanceof EtcdCallError) return false;
    throw error;
  } finally {
    client.close();
  }
}

function closing(server: LiveServer | undefined): Disposable {
  return { [Symbol.dispose]: () => server?.client.close() };
}
