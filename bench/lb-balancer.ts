// A load balancer of ours in a process of its own: lb-balancer.ts <backend address>
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLogger } from "@k3s/log";
import { LoadBalancer } from "@k3s/loadbalancer";

const folder = await mkdtemp(join(tmpdir(), "k3s-bench-lb-"));
const balancer = new LoadBalancer({
  name: "bench",
  serverUrl: `https://${process.argv[2] ?? ""}`,
  folder,
  listen: { host: "127.0.0.1", port: 0 },
  log: createLogger({ level: "warn", format: "text", write: (line) => process.stderr.write(line) }),
});
await balancer.prepare();
await balancer.start({ signal: new AbortController().signal, lost: (error) => process.stderr.write(String(error)) });
process.once("disconnect", () => {
  const end = async () => {
    await balancer.stop(AbortSignal.abort());
    await rm(folder, { recursive: true, force: true });
  };
  void end();
});
process.send?.(Number(new URL(balancer.localUrl).port));
