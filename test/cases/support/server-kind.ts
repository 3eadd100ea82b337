/** Our API on its own HTTP/2 layer, our API on @grpc/grpc-js, and the etcd of the test programs. */
export const SERVER_KINDS = ["http2", "grpc-js", "etcd"] as const;
export type ServerKind = (typeof SERVER_KINDS)[number];

/** PEM files. */
interface ServerTls {
  readonly cert: string;
  readonly key: string;
  /** Clients need a certificate of it. */
  readonly clientCa: string;
}

export interface ServerOptions {
  /** Of periodic progress; default 100 ms. */
  readonly progressIntervalMs?: number;
  /** What may wait for one watch stream; only ours can be told. */
  readonly watchBacklogBytes?: number;
  /** What may wait for all clients together; likewise. */
  readonly backlogBytes?: number;
  readonly tls?: ServerTls;
}

/** A server process with an empty store of its own, until it is disposed of. */
export interface CaseServer extends AsyncDisposable {
  readonly kind: ServerKind;
  /** On loopback. A restart may change it. */
  readonly port: number;
  /** The unix socket beside the port; only ours has one. */
  readonly socketPath?: string;
  /** A restart changes it. */
  readonly pid: number;
  /** Folder of its data. */
  readonly folder: string;
  /** Ends the process, gently or with SIGKILL, and starts another one on the same data. */
  restart(how: "SIGTERM" | "SIGKILL"): Promise<void>;
}
