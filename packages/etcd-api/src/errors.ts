import { NodeError } from "@k3s/errors";

/** The etcd API cannot be offered at the address it was given. */
export class EtcdApiError extends NodeError {
  override readonly name = "EtcdApiError";

  static socketInUse(path: string): EtcdApiError {
    const hint = "Stop the other server that uses this data directory";
    return new EtcdApiError("ERR_ETCD_API_SOCKET_IN_USE", `Cannot listen on "${path}": another process answers there`, {
      hint,
    });
  }

  static notASocket(path: string): EtcdApiError {
    const hint = "Move the file away if nothing needs it";
    return new EtcdApiError("ERR_ETCD_API_SOCKET_OCCUPIED", `Cannot listen on "${path}": a file that is no socket`, {
      hint,
    });
  }

  static pathTooLong(path: string, bytesMax: number): EtcdApiError {
    const message = `Cannot listen on "${path}": path is longer than ${bytesMax} bytes`;
    return new EtcdApiError("ERR_ETCD_API_SOCKET_PATH", message, { hint: "Choose a shorter data directory" });
  }

  /** `cure`: "" where the cause is none that is known; all that may be wrong is named then. */
  static cannotListen(address: string, cause: unknown, cure: string): EtcdApiError {
    const advice =
      "Choose an address of this machine on which no other program listens; a port below 1024 needs privileges, a socket a folder that this user may write";
    return new EtcdApiError("ERR_ETCD_API_LISTEN", `Cannot listen on "${address}" for the etcd API`, {
      cause,
      hint: cure === "" ? advice : cure,
    });
  }
}
