import type { CommitHints } from "@k3s/datastore";
import { failures, RouteRefusal, type Route, type RouteAnswer, type RouteRequest } from "@k3s/supervisor-api";
import { badRequest, parseJson } from "./bad-request.ts";

/** Ours alone: k3s has no such path and answers 404. */
export const COMMIT_HINT_PATH = "/v1-k3s/datastore-hint";
/** Servers, by the password of the cluster's servers or by the certificate of their supervisors, which only servers and administrators can have. */
const GROUPS = ["k3s:server", "system:masters"];

export interface CommitHintRouteOptions {
  /** Undefined where this server needs no hints. */
  readonly hints: () => CommitHints | undefined;
  readonly onHint: () => void;
}

/** Takes what other servers tell of their commits: `{"lastRow": 7}`. */
export function commitHintRoute(options: CommitHintRouteOptions): Route {
  return { groups: GROUPS, answer: (request) => take(request, options) };
}

async function take(request: RouteRequest, { hints, onHint }: CommitHintRouteOptions): Promise<RouteAnswer> {
  const taker = hints();
  if (taker === undefined) throw new RouteRefusal(failures.notFound);
  if (request.method !== "POST") throw new RouteRefusal(failures.methodNotAllowed);
  taker.take(parseLastRow(await request.body()));
  onHint();
  return { contentType: "application/json", body: "{}" };
}

/** The request that says so. */
export function formatCommitHint(lastRow: number): { readonly lastRow: number } {
  return { lastRow };
}

function parseLastRow(body: Buffer): number {
  const value = parseJson(body);
  const lastRow = typeof value === "object" && value !== null && "lastRow" in value ? value.lastRow : undefined;
  if (typeof lastRow === "number" && Number.isSafeInteger(lastRow) && lastRow > 0) return lastRow;
  throw badRequest("lastRow must be the number of a row");
}
