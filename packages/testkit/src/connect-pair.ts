import { once } from "node:events";
import { createServer, type AddressInfo, type Socket } from "node:net";
import type { TestContext } from "node:test";

/** Connects the socket to one of this process, on loopback; resolves with that one. Both end with the test. */
export async function connectPair(t: TestContext, client: Socket): Promise<Socket> {
  const listener = createServer().listen(0, "127.0.0.1");
  t.after(() => listener.close());
  await once(listener, "listening");
  client.connect((listener.address() as AddressInfo).port, "127.0.0.1"); // sound: it listens on TCP
  t.after(() => client.destroy());
  const [server] = (await once(listener, "connection")) as [Socket];
  t.after(() => server.destroy());
  return server;
}
