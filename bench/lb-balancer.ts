// A load balancer of ours in a process of its own: lb-balancer.ts <backend address> <folder for its file>
import { createLogger } from "@k3s/log";
import { LoadBalancer } from "@k3s/loadbalancer";

const balancer = new LoadBalancer({
  name: "bench",
  serverUrl: `https://${process.argv[2] ?? ""}`,
  folder: process.argv[3] ?? "",
  listen: { host: "127.0.0.1", port: 0 },
  log: createLogger({ level: "warn", format: "text", write: (line) => process.stderr.write(line) }),
});
await balancer.prepare();
await balancer.start({ signal: new AbortController().signal, lost: (error) => process.stderr.write(String(error)) });
process.send?.(Number(new URL(balancer.localUrl).port));
