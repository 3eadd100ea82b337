import { readFile } from "node:fs/promises";
import { request as requestPlain, type IncomingMessage, type RequestOptions } from "node:http";
import { request as requestTls } from "node:https";
import { text } from "node:stream/consumers";
import type { LiveServer } from "./tool-target.ts";

/** The longest time that a statement took since the server started. */
export interface SlowestStatement {
  readonly name: string;
  readonly seconds: number;
}

/** What the API of etcd does not tell, from the metrics of a server. Null: it does not answer, or is no server of the kind that tells. */
export interface ServerMetrics {
  /** Slowest first; a server of ours alone tells it. */
  readonly slowestStatements: readonly SlowestStatement[] | null;
  readonly compactRevision: number | null;
}

const LIMIT_MS = 3000;
const SLOWEST = /^k3s_datastore_slowest_statement_seconds\{name="([^"]+)"\} (\S+)$/gm;
/** Ours, or etcd's own, which counts from -1. */
const COMPACTED = /^(?:k3s_datastore_compact_revision|etcd_debugging_mvcc_compact_revision) (\S+)$/m;

/** Never rejects. */
export async function readServerMetrics({ servers, tls }: LiveServer): Promise<ServerMetrics> {
  const [server = ""] = servers;
  const text = await get(server, tls).catch(() => ""); // worth no failure of the tool
  const slowest = Array.from(text.matchAll(SLOWEST), ([, name = "", seconds]) => ({ name, seconds: Number(seconds) }));
  const compacted = COMPACTED.exec(text)?.[1];
  return {
    slowestStatements: text.includes("k3s_datastore_") ? slowest.sort((a, b) => b.seconds - a.seconds) : null,
    compactRevision: compacted === undefined ? null : Math.max(0, Number(compacted)),
  };
}

async function get(server: string, tls: LiveServer["tls"]): Promise<string> {
  const [, scheme = "", rest = ""] = /^([a-z]+):\/\/(.*)$/s.exec(server) ?? [];
  const signal = AbortSignal.timeout(LIMIT_MS);
  const isSecure = scheme === "https" || scheme === "unixs";
  const place = scheme.startsWith("unix") ? { socketPath: rest, host: "localhost" } : hostAndPort(rest);
  const options = { ...place, path: "/metrics", signal, agent: false, ...(isSecure ? await pems(tls) : {}) };
  const response = await send(isSecure, options);
  return response.statusCode === 200 ? await text(response) : "";
}

function send(isSecure: boolean, options: RequestOptions): Promise<IncomingMessage> {
  const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
  const request = isSecure ? requestTls(options, resolve) : requestPlain(options, resolve);
  request.on("error", reject).end();
  return promise;
}

function hostAndPort(text: string): RequestOptions {
  const colon = text.lastIndexOf(":");
  return { host: text.slice(0, colon).replace(/^\[|\]$/g, ""), port: Number(text.slice(colon + 1)) };
}

async function pems({ caFile, certFile, keyFile, skipVerify }: LiveServer["tls"]) {
  const [ca, cert, key] = await Promise.all([caFile, certFile, keyFile].map(readPem));
  return {
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined ? {} : { cert }),
    ...(key === undefined ? {} : { key }),
    rejectUnauthorized: skipVerify !== true,
  };
}

async function readPem(path: string | undefined): Promise<Buffer | undefined> {
  return path === undefined ? undefined : await readFile(path);
}
