import { once } from "node:events";
import { connect, type ClientHttp2Session, type SecureClientSessionOptions } from "node:http2";
import type { TestContext } from "node:test";

/**
 * Opens a connection of Node's own HTTP/2 client until the test ends. What ends it earlier is told by the calls on it;
 * when nothing is asked any more it may be reset, as etcd does when it stops.
 */
export async function openSession(
  t: TestContext,
  origin: string,
  options: SecureClientSessionOptions = {},
): Promise<ClientHttp2Session> {
  const session = connect(origin, options);
  t.after(() => session.destroy());
  await once(session, "connect");
  session.on("error", () => undefined);
  return session;
}
