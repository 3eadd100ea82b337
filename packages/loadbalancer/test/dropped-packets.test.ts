import assert from "node:assert/strict";
import { fork, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { TestNetwork, until } from "@k3s/testkit";
import { execa } from "execa";
import { temporaryFolder } from "./arrange.ts";
import type { Report } from "./fixtures/pinged-balancer.ts";

const PORT = 6443;
const AGENT = "10.99.0.9";
const SERVERS = ["10.99.0.11", "10.99.0.12"];

/** Runs a fixture in a network namespace and returns it once it has sent its first message. */
async function start(
  t: TestContext,
  namespace: string,
  [file = "", ...args]: readonly string[],
): Promise<ChildProcess> {
  const child = fork(join(import.meta.dirname, "fixtures", file), args, {
    execPath: "nsenter",
    execArgv: [`--net=/run/netns/${namespace}`, process.execPath],
    stdio: ["ignore", "ignore", "ignore", "ipc"],
  });
  t.after(() => child.kill("SIGKILL"));
  await once(child, "message");
  return child;
}

async function reportOf(child: ChildProcess, what = "report"): Promise<Report> {
  child.send(what);
  const [report] = (await once(child, "message")) as [Report];
  return report;
}

test("LoadBalancer leaves a server whose packets are dropped, and takes it again when they are not", async (t) => {
  const network = await TestNetwork.create();
  t.after(() => network[Symbol.asyncDispose]());
  const namespaces = new Map<string, string>();
  for (const address of SERVERS) {
    const namespace = await network.plug(`s${namespaces.size}`, address);
    namespaces.set(`${address}:${PORT}`, namespace);
    await start(t, namespace, ["named-server.ts", address, String(PORT)]);
  }
  const agent = await network.plug("agent", AGENT);
  const addresses = [...namespaces.keys()];
  const child = await start(t, agent, ["pinged-balancer.ts", await temporaryFolder(t), ...addresses]);
  // What a server has to say to the agent is thrown away without a word; what the agent says still arrives.
  const route = (verb: "add" | "delete", address: string) =>
    execa("ip", ["-n", namespaces.get(address) ?? "", "route", verb, "blackhole", `${AGENT}/32`]);

  let { answer } = await reportOf(child);
  assert.ok(addresses.includes(answer));
  for (let round = 0; round < 2; round++) {
    await until("both answer their pings", async () => {
      const { servers } = await reportOf(child);
      return servers.filter(({ state }) => state === "active" || state === "preferred").length === 2;
    });
    ({ answer } = await reportOf(child, "let go"));
    const cut = answer;
    await route("add", cut);
    const after = await until("another server answers", async () => {
      const report = await reportOf(child);
      return report.answer !== "" && report.answer !== cut && report;
    });
    assert.equal(after.isHeld, false);
    assert.equal(after.servers.find(({ address }) => address === cut)?.state, "failed");
    await route("delete", cut);
  }
});
