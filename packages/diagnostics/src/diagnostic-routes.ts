import { METRICS_CONTENT_TYPE, type MetricsRegistry } from "@k3s/metrics";
import {
  ANYBODY_KNOWN,
  failures,
  RouteRefusal,
  type Route,
  type RouteAnswer,
  type RouteRequest,
} from "@k3s/supervisor-api";
import type { AccessReviewer } from "./access-reviewer.ts";
import { Profiler, type ProfileKind } from "./profiles.ts";

export interface DiagnosticsOptions {
  /** Undefined: there is no `/metrics`. */
  readonly metrics: MetricsRegistry | undefined;
  /** Whether there is `/debug/pprof/`. */
  readonly hasProfiles: boolean;
  readonly access: AccessReviewer;
}

const PROFILES = "/debug/pprof/";
/** Go's default for a CPU profile. */
const DURATION_SECONDS = 30;
const DURATION_SECONDS_MAX = 600;
const INDEX = `Profiles of this process, main thread only, in V8's formats:

profile?seconds=30   where time goes; save as NAME.cpuprofile
heap?seconds=30      where memory is taken; save as NAME.heapprofile

Open them in the developer tools of Chromium or Firefox's profiler, or in VS Code.
`;

/**
 * `/metrics` and `/debug/pprof/` as k3s guards them: whoever has a client certificate of the cluster or a token that
 * kube-apiserver knows, and for metrics the permission to `get` the path. Passwords of the supervisor do not count.
 */
export function diagnosticRoutes({ metrics, hasProfiles, access }: DiagnosticsOptions): ReadonlyMap<string, Route> {
  const routes = new Map<string, Route>();
  const add = (path: string, answer: Route["answer"]) => {
    routes.set(path, { groups: [ANYBODY_KNOWN], answer: (request) => answer(delegated(request)) });
  };
  if (metrics !== undefined) {
    add("/metrics", async (request) => {
      await permit(request, access);
      return { contentType: METRICS_CONTENT_TYPE, body: await metrics.text() };
    });
  }
  if (hasProfiles) {
    const profiler = new Profiler();
    add(PROFILES, () => Promise.resolve({ body: INDEX }));
    add(`${PROFILES}profile`, (request) => profile(profiler, "cpu", request));
    add(`${PROFILES}heap`, (request) => profile(profiler, "heap", request));
  }
  return routes;
}

/** Kubernetes' own authentication knows nothing of the supervisor's passwords. */
function delegated(request: RouteRequest): RouteRequest {
  if (request.caller.proof === "password") throw new RouteRefusal(failures.unauthorized);
  if (request.method !== "GET") throw new RouteRefusal(failures.methodNotAllowed);
  return request;
}

async function permit({ caller, signal }: RouteRequest, access: AccessReviewer): Promise<void> {
  const attempt = { path: "/metrics", verb: "get" };
  const isAllowed = await access.isAllowed(caller, attempt, signal).catch((cause: unknown) => {
    throw new RouteRefusal(failures.apiserverNotReady, { cause });
  });
  if (!isAllowed) throw new RouteRefusal(failures.forbidden);
}

async function profile(profiler: Profiler, kind: ProfileKind, { query, signal }: RouteRequest): Promise<RouteAnswer> {
  const seconds = Number(query.get("seconds") ?? DURATION_SECONDS);
  if (!(seconds > 0 && seconds <= DURATION_SECONDS_MAX)) {
    const message = `seconds must be a number up to ${DURATION_SECONDS_MAX}`;
    throw new RouteRefusal({ code: 400, reason: "BadRequest", message });
  }
  const body = await profiler.take(kind, seconds * 1000, signal);
  if (body === undefined) throw new RouteRefusal(failures.laneFull);
  const name = kind === "cpu" ? "k3s.cpuprofile" : "k3s.heapprofile";
  const headers = ["Content-Disposition", `attachment; filename="${name}"`];
  return { contentType: "application/json", headers, body };
}
