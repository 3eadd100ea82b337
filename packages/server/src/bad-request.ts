import { RouteRefusal } from "@k3s/supervisor-api";

/** For a client that asks for what makes no sense. */
export function badRequest(message: string): RouteRefusal {
  return new RouteRefusal({ code: 400, reason: "BadRequest", message });
}

/** Throws RouteRefusal. */
export function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString("utf8"));
  } catch {
    throw badRequest("the body is no JSON");
  }
}
