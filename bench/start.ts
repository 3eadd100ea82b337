/**
 * How long from `k3s server` to its first line in the log and to a Ready node, cold (empty data dir) and warm (everything there), beside the same programs with the same
 * arguments, certificates and network configuration started by hand on etcd, in the same run on the same host.
 *
 *   node bench/start.ts [--rounds 5]
 */
import { once } from "node:events";
import { copyFile, mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { DIST, K3sServer, TestHost, TestNetwork, until } from "@k3s/testkit";
import { byHandScript, captureChildren } from "./by-hand.ts";
import { median } from "./median.ts";

const { values } = parseArgs({ options: { rounds: { type: "string", default: "5" } } });
const DATA = "/var/lib/rancher/k3s";
const PRODUCT = "/var/lib/k3s-dist";
/** Of kube-apiserver itself; by hand there is nothing in front of it. */
const API_PORT = 6444;
const WATCH = join(import.meta.dirname, "ready-watch.ts");

type Kind = "first line cold" | "first line warm" | "k3s cold" | "k3s warm" | "by hand cold" | "by hand warm";
const seconds = new Map<Kind, number[]>();

/** Waits until the node behind `port` is Ready that was started at `since`. Milliseconds from then on. */
async function untilReady(host: TestHost, port: number, since: number): Promise<number> {
  const done = await host
    .run(process.execPath, WATCH, `https://127.0.0.1:${port}`, `${DATA}/server/tls`, String(since))
    .catch(() => "");
  if (done === "") throw new Error("The node did not become Ready");
  return Number(done) - since;
}

/** Starts k3s and waits for its first line, and only then for the node: who looks for it takes processor time too. */
async function measureServer(server: K3sServer, how: "cold" | "warm"): Promise<void> {
  const since = Date.now();
  server.start();
  await server.said();
  record(`first line ${how}`, Date.now() - since);
  record(`k3s ${how}`, await untilReady(server.host, 6443, since));
}

function record(kind: Kind, ms: number): void {
  const value = ms / 1000;
  seconds.set(kind, [...(seconds.get(kind) ?? []), value]);
  process.stdout.write(`${kind}: ${value.toFixed(2)} s\n`);
}

/** What a cold start makes: the database, containerd's and the kubelet's state. Keys and network configuration stay, in favour of the other side. */
async function wipeState(host: TestHost): Promise<void> {
  await host.run(
    "sh",
    "-c",
    `umount -l $(awk '$2 ~ "^(/run/k3s|/var/lib/kubelet)" {print $2}' /proc/mounts) 2>/dev/null; true`,
  );
  await host.run(
    "rm",
    "-rf",
    "/var/lib/bench-etcd",
    "/var/lib/kubelet",
    `${DATA}/agent/containerd`,
    "/run/k3s/containerd",
  );
}

async function byHand(host: TestHost, script: string, kind: Kind): Promise<void> {
  const since = Date.now();
  const holder = host.spawn("sh", ["-c", script], { stdio: "ignore" });
  record(kind, await untilReady(host, API_PORT, since));
  const gone = once(holder, "exit");
  await host.run("pkill", "-KILL", "-f", `^(/var/lib/rancher/k3s/data|${DIST})/[^ ]*/bin/`);
  await gone;
}

async function round(network: TestNetwork, index: number): Promise<void> {
  await using host = await TestHost.create({ name: `r${index}`, address: `10.99.0.${11 + index}`, network });
  const product = host.outside(PRODUCT);
  await mkdir(product, { recursive: true });
  await copyFile(join(DIST, "k3s"), join(product, "k3s"));
  const server = new K3sServer(host, `${PRODUCT}/k3s`);

  await measureServer(server, "cold");
  const children = await until(
    "all programs run",
    async () => (await server.children()).size === 6 && captureChildren(server),
  );
  await server.stop();
  await measureServer(server, "warm");
  await server.stop();

  const script = byHandScript(children, {
    etcd: join(DIST, "lib/components/bin/etcd"),
    workingDirectory: `${DATA}/server`,
  });
  await wipeState(host);
  await byHand(host, script, "by hand cold");
  await byHand(host, script, "by hand warm");
  await rm(product, { recursive: true });
}

await using network = await TestNetwork.create();
for (let index = 0; index < Number(values.rounds); index++) await round(network, index);

process.stdout.write(`\nmedian of ${values.rounds} rounds, seconds from start to a Ready node\n`);
for (const [kind, samples] of seconds) process.stdout.write(`${kind.padEnd(14)} ${median(samples).toFixed(2)}\n`);
for (const how of ["cold", "warm"] as const) {
  const ours = median(seconds.get(`k3s ${how}`) ?? []) - median(seconds.get(`by hand ${how}`) ?? []);
  process.stdout.write(`ours, ${how}: ${ours.toFixed(2)} s more than by hand\n`);
}
