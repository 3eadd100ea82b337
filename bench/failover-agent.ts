// An agent without the programs of a node, and a client of its load balancer, in one process: failover-agent.ts
// Configuration comes from the environment. Each line on standard input asks for an answer of one line of JSON.
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { Agent, get, type RequestOptions } from "node:https";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Member } from "@k3s/agent";
import { deadline, sleep } from "@k3s/async";
import { loadAgentConfig, readHostFacts } from "@k3s/config";
import { assembled, ComponentManager } from "@k3s/lifecycle";
import { createLogger } from "@k3s/log";

export interface FailoverState {
  /** Servers by address, best first. */
  readonly servers: readonly { readonly address: string; readonly state: string }[];
}

export interface Failover {
  /** From the question to the first answer to a request on a connection of its own, in ms. */
  readonly requestMs: number;
  /** Likewise until the connection of a watch was closed, so that its client could come again; undefined: it stayed. */
  readonly watchMs: number | undefined;
}

const REQUEST_LIMIT_MS = 1_000;
const REQUEST_PAUSE_MS = 10;
const WATCH_LIMIT_MS = 20_000;
const WATCHED = "/api/v1/namespaces/default/endpoints?watch=1&fieldSelector=metadata.name%3Dkubernetes";

const log = createLogger({ level: "info", format: "text", write: (line) => process.stderr.write(line) });
const { signal } = new AbortController();
const host = await readHostFacts();
const config = await loadAgentConfig({ flags: new Map(), unknownFlags: [], env: process.env, host, signal });
const member = new Member(config, log);
const joining = assembled("agent", async (until) => (await member.join(until)).components);
await new ComponentManager([...member.components, joining]).start(signal);

const { agentDir } = config.paths;
const [ca, cert, key] = await Promise.all(
  ["server-ca.crt", "client-k3s-controller.crt", "client-k3s-controller.key"].map((name) =>
    readFile(join(agentDir, name)),
  ),
);
const tls: RequestOptions = { ca, cert, key };

/** Asks once, on a connection of its own. */
async function isAnswered(): Promise<boolean> {
  using limit = deadline(REQUEST_LIMIT_MS, "A request");
  const request = get(`${member.server}/readyz`, { ...tls, agent: false, signal: limit });
  try {
    const [response] = (await once(request, "response")) as [{ statusCode?: number; resume: () => void }];
    response.resume();
    return response.statusCode === 200;
  } catch {
    return false;
  }
}

/** Resolves with the end of a watch once it has begun. */
async function watch(): Promise<{ readonly ended: Promise<unknown>; readonly close: () => void }> {
  const request = get(member.server + WATCHED, { ...tls, agent: new Agent() });
  request.on("error", () => undefined);
  const [response] = (await once(request, "response")) as [NodeJS.ReadableStream];
  response.on("error", () => undefined).resume();
  return { ended: new Promise((resolve) => response.once("close", resolve)), close: () => request.destroy() };
}

const current = { watch: await watch() };

async function measure(): Promise<Failover> {
  const since = performance.now();
  const ended = current.watch.ended.then(() => performance.now() - since);
  while (!(await isAnswered())) await sleep(REQUEST_PAUSE_MS);
  const requestMs = performance.now() - since;
  const watchMs = await Promise.race([ended, sleep(WATCH_LIMIT_MS).then(() => undefined)]);
  return { requestMs, watchMs };
}

async function state(): Promise<FailoverState> {
  current.watch.close();
  current.watch = await watch();
  const servers = member.balancer?.servers() ?? [];
  return { servers: servers.map(({ address, state: its }) => ({ address, state: its })) };
}

process.stdout.write("ready\n");
for await (const line of createInterface({ input: process.stdin }))
  process.stdout.write(`${JSON.stringify(line === "measure" ? await measure() : await state())}\n`);
process.exit();
