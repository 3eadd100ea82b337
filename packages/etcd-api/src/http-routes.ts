import { deadline, soonAfter } from "@k3s/async";
import type { Store } from "@k3s/datastore";
import type { Logger } from "@k3s/log";
import { ETCD_VERSION, STORAGE_VERSION } from "./version.ts";

/** What is answered to a plain HTTP request. */
interface HttpAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

/** Answers `GET` or another method of a path, query included. Never rejects. */
export type HttpRoutes = (method: string, path: string) => Promise<HttpAnswer>;

export interface HttpRoutesOptions {
  readonly store: Store;
  readonly log: Logger;
  /** The text of `/metrics` in the Prometheus format; without it the path does not exist. */
  readonly metrics?: (() => string | Promise<string>) | undefined;
}

const JSON_TYPE = "application/json";
const TEXT_TYPE = "text/plain; charset=utf-8";
const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";
/** Any key: it is looked for, not read. */
const PROBE_KEY = Buffer.from("health");
/** etcd gives a request 5 s and twice the election timeout. */
const PROBE_MS = 7_000;

/** The paths besides gRPC on etcd's client port. */
export function createRoutes({ store, metrics, log }: HttpRoutesOptions): HttpRoutes {
  const paths = new Map<string, (query: URLSearchParams) => Promise<HttpAnswer>>([
    ["/health", async (query) => healthAnswer(await findIllness(store, query))],
    ["/version", () => Promise.resolve(versionAnswer())],
  ]);
  if (metrics !== undefined)
    paths.set("/metrics", async () => ({ status: 200, contentType: METRICS_TYPE, body: await metrics() }));

  return async (method, path) => {
    const [name = "", query] = path.split("?", 2);
    const route = paths.get(name);
    if (route === undefined) return text(404, "404 page not found\n");
    if (method !== "GET" && method !== "HEAD") return text(405, "Method Not Allowed\n");
    return route(new URLSearchParams(query)).catch((error: unknown) => {
      log.error({ error, path }, "cannot answer HTTP request");
      return text(500, "Internal Server Error\n");
    });
  };
}

/** As etcd: an alarm makes the server ill unless the question leaves it out. undefined: it is well. */
async function findIllness(store: Store, query: URLSearchParams): Promise<string | undefined> {
  if (store.isFull && !query.getAll("exclude").includes("NOSPACE")) return "ALARM NOSPACE";
  return (await canRead(store)) ? undefined : "RANGE ERROR";
}

async function canRead(store: Store): Promise<boolean> {
  using limit = deadline(PROBE_MS, "Reading from the store");
  const query = { key: PROBE_KEY, rangeEnd: Buffer.alloc(0), limit: 1, revision: 0, keysOnly: true, countOnly: false };
  const bounds = { minModRevision: 0, maxModRevision: 0, minCreateRevision: 0, maxCreateRevision: 0 };
  const late = () => new Error("Cannot read from the store: it does not answer");
  return await soonAfter(store.range({ ...query, ...bounds }), { signal: limit, ms: 0, late }).then(
    () => true,
    () => false,
  );
}

function healthAnswer(illness: string | undefined): HttpAnswer {
  return illness === undefined
    ? { status: 200, contentType: JSON_TYPE, body: JSON.stringify({ health: "true" }) }
    : { status: 503, contentType: JSON_TYPE, body: JSON.stringify({ health: "false", reason: illness }) };
}

function versionAnswer(): HttpAnswer {
  const body = JSON.stringify({ etcdserver: ETCD_VERSION, etcdcluster: STORAGE_VERSION, storage: STORAGE_VERSION });
  return { status: 200, contentType: JSON_TYPE, body };
}

function text(status: number, body: string): HttpAnswer {
  return { status, contentType: TEXT_TYPE, body };
}
