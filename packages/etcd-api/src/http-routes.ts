import type { Store } from "@k3s/datastore";
import type { Logger } from "@k3s/log";
import { jsonAnswer, textAnswer, type HttpAnswer } from "./http-answer.ts";
import { healthPaths } from "./http-health.ts";
import { ETCD_VERSION, STORAGE_VERSION } from "./version.ts";

/** Answers `GET` or another method of a path, query included. Never rejects. */
export type HttpRoutes = (method: string, path: string) => Promise<HttpAnswer>;

export interface HttpRoutesOptions {
  readonly store: Store;
  readonly log: Logger;
  /** The text of `/metrics` in the Prometheus format; without it the path does not exist. */
  readonly metrics?: (() => string | Promise<string>) | undefined;
}

const METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** The paths besides gRPC on etcd's client port. */
export function createRoutes({ store, metrics, log }: HttpRoutesOptions): HttpRoutes {
  const paths = new Map<string, (query: URLSearchParams) => Promise<HttpAnswer>>([
    ...healthPaths(store),
    ["/version", () => Promise.resolve(versionAnswer())],
  ]);
  if (metrics !== undefined)
    paths.set("/metrics", async () => ({ status: 200, contentType: METRICS_TYPE, body: await metrics() }));

  return async (method, path) => {
    const [name = "", query] = path.split("?", 2);
    const route = paths.get(name);
    if (route === undefined) return textAnswer(404, "404 page not found\n");
    if (method !== "GET" && method !== "HEAD") return textAnswer(405, "Method Not Allowed\n");
    return route(new URLSearchParams(query)).catch((error: unknown) => {
      log.error({ error, path }, "cannot answer HTTP request");
      return textAnswer(500, "Internal Server Error\n");
    });
  };
}

function versionAnswer(): HttpAnswer {
  return jsonAnswer(200, { etcdserver: ETCD_VERSION, etcdcluster: STORAGE_VERSION, storage: STORAGE_VERSION });
}
