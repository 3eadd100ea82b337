// A node: one tunnel to the server, through which the server may dial anything. Reports its memory when asked.
import { readFile } from "node:fs/promises";
import { connect } from "node:net";
import { createLogger } from "@k3s/log";
import { agentPaths } from "@k3s/pki";
import { TunnelClient } from "@k3s/tunnel";

const [, , url = "", folder] = process.argv;
const paths = folder === undefined ? undefined : agentPaths(folder);
const tls =
  paths === undefined
    ? {}
    : {
        ca: await readFile(paths.serverCa),
        cert: await readFile(paths.clientKubelet.cert),
        key: await readFile(paths.clientKubelet.key),
      };
const client = new TunnelClient({
  endpoint: () => ({ url, tls }),
  rules: {
    authorize: () => true,
    dial: ({ address }) =>
      new Promise((resolve, reject) => {
        const socket = connect({ port: Number(address.split(":")[1]), host: "127.0.0.1", noDelay: true });
        socket.once("connect", () => resolve(socket)).once("error", reject);
      }),
  },
  log: createLogger({ level: "warn", format: "text", write: (line) => process.stderr.write(line) }),
});
await client.status.until(({ state }) => state === "connected", AbortSignal.timeout(10_000));
process.once("disconnect", () => process.exit());
process.on("message", () => {
  process.send?.({ rss: process.memoryUsage.rss(), cpu: process.cpuUsage() });
});
process.send?.("connected");
