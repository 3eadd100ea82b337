import { Member } from "@k3s/agent";
import { loadAgentConfig, readHostFacts } from "@k3s/config";
import { assembled, ComponentManager } from "@k3s/lifecycle";
import { createLogger } from "@k3s/log";

// An agent without the programs of a node: configuration from the environment, log on standard output, until SIGTERM.
const stopping = new AbortController();
const { signal } = stopping;
const log = createLogger({ level: "info", format: "text", write: (line) => process.stdout.write(line) });
const host = await readHostFacts();
const config = await loadAgentConfig({ flags: new Map(), unknownFlags: [], env: process.env, host, signal });
const member = new Member(config, log);
const joining = assembled("agent", async (until) => (await member.join(until)).components);
const manager = new ComponentManager([...member.components, joining]);
process.once("SIGTERM", () => {
  stopping.abort(new Error("it is being stopped"));
  void manager.stop(AbortSignal.timeout(5_000)).then(() => process.exit());
});
await manager.start(signal);
log.info({ node: config.nodeName }, "joined");
