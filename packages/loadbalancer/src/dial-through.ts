import { once } from "node:events";
import { isIP, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { dial, type Dial } from "./dial.ts";
import { LoadBalancerError } from "./errors.ts";
import { KEEP_ALIVE_MS } from "./listen.ts";
import { parseAddress, type HostPort } from "./server-address.ts";

/** Asks the proxy for a way to the target. Rejects with the reason when it does not give one. */
type Ask = (socket: Socket, target: HostPort, proxy: URL) => Promise<void>;

const DEFAULT_PORTS: Readonly<Record<string, string>> = {
  "http:": "80",
  "https:": "443",
  "socks5:": "1080",
  "socks5h:": "1080",
};
/** Of the answer to CONNECT. */
const HEAD_LIMIT_BYTES = 16_384;

/** Dials through a proxy: `http`, `https` (both by CONNECT) or `socks5`, with user and password where its URL has them. Throws LoadBalancerError for others. */
export function dialThrough(proxy: URL): Dial {
  const port = proxy.port === "" ? DEFAULT_PORTS[proxy.protocol] : proxy.port;
  if (port === undefined || proxy.hostname === "") throw LoadBalancerError.unknownProxy(withoutPassword(proxy));
  const way = `${proxy.hostname}:${port}`;
  const ask = proxy.protocol.startsWith("socks5") ? askSocks : askHttp;
  return (address, connected) => {
    const target = parseAddress(address);
    if (target === undefined) throw new TypeError(`Cannot dial "${address}": it is no address`);
    const begin = () => void negotiate({ socket, ask: () => ask(socket, target, proxy), connected });
    const socket = proxy.protocol === "https:" ? dialTls(proxy, way, begin) : dial(way, begin);
    return socket;
  };
}

function dialTls(proxy: URL, way: string, connected: () => void): Socket {
  const host = proxy.hostname.replace(/^\[|\]$/g, "");
  const servername = isIP(host) === 0 ? host : "";
  const target = parseAddress(way) ?? { host, port: 443 };
  const options = { ...target, servername, allowHalfOpen: true };
  return connectTls(options, connected).setNoDelay(true).setKeepAlive(true, KEEP_ALIVE_MS);
}

async function negotiate(parts: {
  readonly socket: Socket;
  readonly ask: () => Promise<void>;
  readonly connected: () => void;
}): Promise<void> {
  try {
    await parts.ask();
  } catch (error) {
    parts.socket.destroy(error instanceof Error ? error : new Error(String(error)));
    return;
  }
  if (!parts.socket.destroyed) parts.connected();
}

const askHttp: Ask = async (socket, { host, port }, proxy) => {
  const authority = `${isIP(host) === 6 ? `[${host}]` : host}:${port}`;
  const { user, password } = credentials(proxy);
  const basic = Buffer.from(`${user}:${password}`).toString("base64");
  const authorization = user === "" ? "" : `Proxy-Authorization: Basic ${basic}\r\n`;
  socket.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${authorization}\r\n`);
  let head = "";
  while (!head.endsWith("\r\n\r\n")) {
    if (head.length >= HEAD_LIMIT_BYTES) throw refusal("the head of its answer does not end");
    head += (await readBytes(socket, 1)).toString("latin1"); // no byte more: what follows is the server's
  }
  const [line = ""] = head.split("\r\n", 1);
  if (!/^HTTP\/1\.[01] 2\d\d(?: |$)/.test(line)) throw refusal(`it answers "${line.slice(0, 100)}"`);
};

/** RFC 1928 and, for user and password, RFC 1929. */
const askSocks: Ask = async (socket, target, proxy) => {
  const { user, password } = credentials(proxy);
  socket.write(user === "" ? Buffer.from([5, 1, 0]) : Buffer.from([5, 2, 0, 2]));
  const [version, method] = await readBytes(socket, 2);
  if (version !== 5) throw refusal("it speaks no SOCKS 5");
  if (method === 2 && user !== "") {
    socket.write(Buffer.concat([Buffer.from([1]), counted(user), counted(password)]));
    const [, status] = await readBytes(socket, 2);
    if (status !== 0) throw refusal("it refuses user and password");
  } else if (method !== 0) throw refusal("it wants to know who asks in another way");
  const port = Buffer.alloc(2);
  port.writeUInt16BE(target.port);
  socket.write(Buffer.concat([Buffer.from([5, 1, 0]), socksAddress(target.host), port]));
  const [, reply, , kind] = await readBytes(socket, 4);
  if (reply !== 0) throw refusal(`it answers with code ${reply}`);
  const rest = kind === 1 ? 4 : kind === 4 ? 16 : ((await readBytes(socket, 1))[0] ?? 0);
  await readBytes(socket, rest + 2);
};

/** Names are the proxy's to look up. */
function socksAddress(host: string): Buffer {
  if (isIP(host) === 4) return Buffer.from([1, ...host.split(".").map(Number)]);
  if (isIP(host) !== 6) return Buffer.concat([Buffer.from([3]), counted(host)]);
  const groups = new URL(`http://[${host}]`).hostname.slice(1, -1).split("::");
  const [front = [], back = []] = groups.map((text) => text.split(":").filter((group) => group !== ""));
  const zeros = Array<string>(8 - front.length - back.length).fill("0");
  const bytes = [...front, ...zeros, ...back].flatMap((group) => {
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 0xff];
  });
  return Buffer.from([4, ...bytes]);
}

function counted(text: string): Buffer {
  const bytes = Buffer.from(text);
  if (bytes.length > 255) throw refusal("a name or password is longer than 255 bytes");
  return Buffer.concat([Buffer.from([bytes.length]), bytes]);
}

/** Exactly so many; the rest stays in the socket. */
async function readBytes(socket: Socket, count: number): Promise<Buffer> {
  for (;;) {
    const bytes: unknown = socket.read(count);
    if (Buffer.isBuffer(bytes) && bytes.length === count) return bytes;
    if (bytes !== null || socket.readableEnded || socket.destroyed) throw refusal("it ends the connection");
    const over = new AbortController();
    const events = ["readable", "end", "close"].map((event) => once(socket, event, { signal: over.signal }));
    try {
      await Promise.race(events);
    } finally {
      over.abort();
      await Promise.allSettled(events);
    }
  }
}

function refusal(state: string): Error {
  return new Error(`Cannot reach the server through the proxy: ${state}`);
}

function credentials({ username, password }: URL): { readonly user: string; readonly password: string } {
  return { user: decodeURIComponent(username), password: decodeURIComponent(password) };
}

function withoutPassword(proxy: URL): string {
  const shown = new URL(proxy);
  shown.password = "";
  return shown.href;
}
