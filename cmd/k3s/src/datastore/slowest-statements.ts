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

const LIMIT_MS = 3000;
const SAMPLE = /^k3s_datastore_slowest_statement_seconds\{name="([^"]+)"\} (\S+)$/gm;

/** What a server of ours tells in its metrics, slowest first; undefined when it is another kind of server or does not answer. */
export async function slowestStatements({
  servers,
  tls,
}: LiveServer): Promise<readonly SlowestStatement[] | undefined> {
  const [server = ""] = servers;
  try {
    const metrics = await get(server, tls);
    const found = Array.from(metrics.matchAll(SAMPLE), ([, name = "", seconds]) => ({
      name,
      seconds: Number(seconds),
    }));
    return metrics.includes("k3s_datastore_") ? found.sort((a, b) => b.seconds - a.seconds) : undefined;
  } catch {
    return undefined; // worth no failure of the tool
  }
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
