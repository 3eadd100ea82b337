import { readFile, stat } from "node:fs/promises";
import { serverTlsPaths, type AgentLeafName } from "@k3s/pki";
import { failures, RouteRefusal, type Route, type RouteAnswer } from "@k3s/supervisor-api";
import { certificateAnswer } from "./certificate-answer.ts";
import type { NodeCheck } from "./node-check.ts";
import type { NodeNames } from "./node-names.ts";

export interface AgentRoutesOptions {
  readonly serverDir: string;
  /** The document of `/v1-k3s/config`, made anew for each request. */
  readonly config: () => Promise<string>;
  /** `ip:port` of every server that serves the API. */
  readonly apiServers: () => readonly string[];
  /** Whether agents may go on: the controllers' caches are there. */
  readonly isCoreReady: () => boolean;
  readonly nodeCheck: NodeCheck;
  readonly nodeNames: NodeNames;
}

/** Who may ask what an agent needs (k3s). */
const AGENT_GROUPS = ["k3s:agent", "system:nodes", "system:bootstrappers"];
const LEAVES: readonly AgentLeafName[] = [
  "serving-kubelet",
  "client-kubelet",
  "client-kube-proxy",
  "client-k3s-controller",
];

/** Everything below `/v1-k3s/` that agents ask for, as k3s answers it. */
export function agentRoutes(options: AgentRoutesOptions): ReadonlyMap<string, Route> {
  const tls = serverTlsPaths(options.serverDir);
  const route = (answer: Route["answer"]): Route => ({ groups: AGENT_GROUPS, lane: "agents", answer });
  const json = (body: string): RouteAnswer => ({ contentType: "application/json", body });
  return new Map<string, Route>([
    ["/v1-k3s/readyz", route(() => readyz(options))],
    ["/v1-k3s/config", route(async () => json(await options.config()))],
    ["/v1-k3s/apiservers", route(() => Promise.resolve(json(`${JSON.stringify(options.apiServers())}\n`)))],
    ["/v1-k3s/client-ca.crt", route(() => fileAnswer(tls.clientCa.cert))],
    ["/v1-k3s/server-ca.crt", route(() => fileAnswer(tls.serverCa.cert))],
    ...LEAVES.map(
      (name) => [`/v1-k3s/${name}.crt`, route((request) => certificateAnswer(name, request, options))] as const,
    ),
  ]);
}

/** 503 while not ready, never 500: that is what agents of k3s go by. */
function readyz({ isCoreReady }: AgentRoutesOptions): Promise<RouteAnswer> {
  return isCoreReady() ? Promise.resolve({ body: "ok" }) : Promise.reject(new RouteRefusal(failures.coreNotReady));
}

async function fileAnswer(path: string): Promise<RouteAnswer> {
  const [body, { mtime }] = await Promise.all([readFile(path), stat(path)]);
  return { body, headers: ["Last-Modified", mtime.toUTCString()] };
}
