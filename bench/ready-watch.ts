/**
 * Runs inside the measured host: prints a line with the wall-clock time at which the only node reported Ready for the first time after `since`.
 *
 *   node ready-watch.ts <server URL> <TLS folder of the server> <since, ms since the epoch>
 */
import { readFile } from "node:fs/promises";
import { Agent, get } from "node:https";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { sleep } from "@k3s/async";

interface Condition {
  readonly type: string;
  readonly status: string;
  readonly lastHeartbeatTime: string;
}
interface NodeList {
  readonly items: readonly { readonly status: { readonly conditions?: readonly Condition[] } }[];
}

const POLL_MS = 50;
const LIMIT_MS = 240_000;

const [server = "", tls = "", sinceText = ""] = process.argv.slice(2);
const since = Number(sinceText);

/** Heartbeats have a resolution of one second. */
function isReady({ items }: NodeList): boolean {
  const ready = items[0]?.status.conditions?.find(({ type }) => type === "Ready");
  return ready?.status === "True" && Date.parse(ready.lastHeartbeatTime) >= Math.floor(since / 1000) * 1000;
}

async function nodes(): Promise<NodeList> {
  const read = (name: string) => readFile(join(tls, name));
  const [ca, cert, key] = await Promise.all([
    read("server-ca.crt"),
    read("client-admin.crt"),
    read("client-admin.key"),
  ]);
  const agent = new Agent({ ca, cert, key });
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  get(`${server}/api/v1/nodes`, { agent, timeout: 2_000 }, (response) => void text(response).then(resolve, reject)).on(
    "error",
    reject,
  );
  return JSON.parse(await promise) as NodeList;
}

while (Date.now() - since < LIMIT_MS) {
  const answer = await nodes().catch(() => undefined);
  if (answer !== undefined && "items" in answer && isReady(answer)) {
    process.stdout.write(`${Date.now()}\n`);
    process.exit(0);
  }
  await sleep(POLL_MS);
}
process.exit(1);
