// The network between a node and the server, as a process of its own.
import { FaultProxy } from "@k3s/testkit";

const [, , port, delayMs] = process.argv;
const way = { delayMs: Number(delayMs) };
const proxy = await FaultProxy.start({ target: { port: Number(port) }, toTarget: way, toClient: way });
process.once("disconnect", () => process.exit());
process.send?.(proxy.port);
