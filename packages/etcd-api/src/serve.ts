import type { Socket } from "node:net";
import { TLSSocket } from "node:tls";
import { sniffPreface } from "@k3s/http2";
import { TLS_TO_PLAIN, listenTcp, listenUnix, type Listener, type OnRefused, type TcpAddress } from "./listen.ts";
import type { Transport } from "./transport.ts";

export interface ServeAddresses {
  readonly socketPath?: string | undefined;
  readonly tcp?: TcpAddress | undefined;
  readonly onRefused?: OnRefused | undefined;
}

export interface Protocols {
  readonly http2: Transport;
  readonly http1: Transport;
}

export interface Serving {
  /** 0 without a TCP address. */
  readonly tcpPort: number;
  /** Frees the addresses at once, lets running calls end, cuts what is left when `hurry` aborts. */
  close(hurry: AbortSignal): Promise<void>;
}

/** Until the first bytes of a connection tell its protocol. */
const SNIFF_MS = 10_000;

/** Serves both protocols on every address. Rejects with EtcdApiError when one cannot be had. */
export async function serve({ http2, http1 }: Protocols, addresses: ServeAddresses): Promise<Serving> {
  const undecided = new Set<Socket>();
  let isClosing = false;
  const onConnection = (socket: Socket) => {
    if (isClosing) {
      socket.destroy(); // its handshake took until now
      return;
    }
    undecided.add(socket);
    const handTo = (protocol: Transport) => (decided: Socket) => {
      undecided.delete(decided);
      protocol.accept(decided);
    };
    // Told before the answer in plain HTTP, of which the client makes that nobody speaks TLS here.
    const tellAndRefuse = (decided: Socket) => {
      addresses.onRefused?.({ address: decided.remoteAddress, code: TLS_TO_PLAIN });
      handTo(http1)(decided);
    };
    socket.once("close", () => undecided.delete(socket));
    const tls = socket instanceof TLSSocket ? undefined : tellAndRefuse;
    sniffPreface(socket, { http2: handTo(http2), http1: handTo(http1), tls, limitMs: SNIFF_MS });
  };
  const listeners: Listener[] = [];
  const freeAddresses = () => listeners.splice(0).forEach((listener) => listener.close());
  const close = async (hurry: AbortSignal) => {
    isClosing = true;
    freeAddresses();
    for (const socket of undecided) socket.destroy();
    await Promise.all([http2.close(hurry), http1.close(hurry)]);
  };
  try {
    if (addresses.socketPath !== undefined) listeners.push(await listenUnix(addresses.socketPath, onConnection));
    if (addresses.tcp !== undefined) listeners.push(await listenTcp(addresses.tcp, onConnection, addresses.onRefused));
  } catch (error) {
    await close(AbortSignal.abort());
    throw error;
  }
  return { tcpPort: listeners.at(-1)?.port ?? 0, close };
}
