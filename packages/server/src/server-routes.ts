import { randomInt } from "node:crypto";
import type { Logger } from "@k3s/log";
import { failures, RouteRefusal, type Route, type RouteAnswer, type RouteRequest } from "@k3s/supervisor-api";
import { TokenError } from "@k3s/token";
import { badRequest, parseJson } from "./bad-request.ts";

export interface ServerRoutesOptions {
  /** An empty string asks for a token that nobody chose. */
  readonly changeToken: (newToken: string) => Promise<void>;
  readonly log: Logger;
}

/** Who may ask (k3s): servers, and whoever administers one. */
const SERVER_GROUPS = ["k3s:server"];

/** What other servers and the commands of operators ask for below `/v1-k3s/`, as k3s answers it. */
export function serverRoutes(options: ServerRoutesOptions): ReadonlyMap<string, Route> {
  const route = (answer: Route["answer"]): Route => ({ groups: SERVER_GROUPS, answer });
  return new Map<string, Route>([
    // Only with an etcd that servers run themselves is there something to join by.
    ["/v1-k3s/server-bootstrap", route(() => Promise.reject(badRequest("etcd disabled")))],
    ["/v1-k3s/token", route((request) => changeToken(request, options))],
  ]);
}

async function changeToken(request: RouteRequest, { changeToken, log }: ServerRoutesOptions): Promise<RouteAnswer> {
  if (request.method !== "PUT") throw new RouteRefusal(failures.methodNotAllowed);
  const newToken = parseNewToken(await request.body());
  try {
    await changeToken(newToken);
    return { body: "" };
  } catch (error) {
    if (error instanceof TokenError && error.code === "ERR_TOKEN_NOT_FOR_SERVERS") throw badRequest(error.message);
    throw internal("token", error, log);
  }
}

function parseNewToken(body: Buffer): string {
  const value = parseJson(body);
  const newToken = typeof value === "object" && value !== null && "newToken" in value ? value.newToken : undefined;
  if (typeof newToken !== "string") throw badRequest("newToken must be a string");
  return newToken;
}

/** The client gets a number to look for in the log, the log what happened. */
function internal(component: string, error: unknown, log: Logger): RouteRefusal {
  const text = `${component} error ID ${randomInt(100_000).toString().padStart(5, "0")}`;
  log.error({ error, request: text }, "request of an operator failed");
  return new RouteRefusal({ code: 500, reason: "InternalError", message: `Internal error occurred: ${text}` });
}
