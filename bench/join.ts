/**
 * How long an agent takes from its start to a Ready node: the first time, and again as a new node of the same name with its images there.
 *
 *   node bench/join.ts [--rounds 5]
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { K3sServer, TestHost, TestNetwork, until } from "@k3s/testkit";
import { median } from "./median.ts";

const { values } = parseArgs({ options: { rounds: { type: "string", default: "5" } } });
const WATCH = join(import.meta.dirname, "ready-watch.ts");
const SERVER = "/var/lib/rancher/k3s/server";
const URL = "https://10.99.0.11:6443";

await using network = await TestNetwork.create();
await using one = await TestHost.create({ name: "server", address: "10.99.0.11", network });
await using two = await TestHost.create({ name: "agent", address: "10.99.0.12", network });
const server = new K3sServer(one);
const agent = new K3sServer(two);
await agent.provideImages();
server.start("--disable-agent");
await until("the server answers", () => server.kubectl("get", "--raw=/readyz"), 180_000);
const token = (await readFile(one.outside(`${SERVER}/node-token`), "utf8")).trim();

/** Seconds. */
async function joinOnce(): Promise<number> {
  const since = Date.now();
  agent.join("--server", URL, "--token", token);
  const readyAt = await one.run(process.execPath, WATCH, "https://127.0.0.1:6443", `${SERVER}/tls`, String(since));
  await agent.stop();
  await server.kubectl("delete", "node", "agent");
  return (Number(readyAt) - since) / 1000;
}

const first = await joinOnce();
const again: number[] = [];
for (let round = 0; round < Number(values.rounds); round++) again.push(await joinOnce());
await server.stop();
process.stdout.write(
  `first join ${first.toFixed(2)} s; with its images there ${again.map((s) => s.toFixed(2)).join(", ")}\n`,
);
process.stdout.write(`median of ${again.length}: ${median(again).toFixed(2)} s\n`);
