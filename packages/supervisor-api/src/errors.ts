import { NodeError } from "@k3s/errors";

/** Failures of the one port that the operator can act on. */
export class SupervisorError extends NodeError {
  override readonly name = "SupervisorError";

  static portTaken(port: number, cause: unknown): SupervisorError {
    const hint = `Stop the program that uses port ${port}, or choose another one with --https-listen-port`;
    return new SupervisorError("ERR_SUPERVISOR_PORT_TAKEN", `Cannot listen on port ${port}: it is in use`, {
      hint,
      cause,
    });
  }

  static addressUnavailable(address: string, cause: unknown): SupervisorError {
    const hint = "Give --bind-address an address of this machine";
    const message = `Cannot listen on address "${address}": this machine does not have it`;
    return new SupervisorError("ERR_SUPERVISOR_ADDRESS", message, { hint, cause });
  }

  static portForbidden(port: number, cause: unknown): SupervisorError {
    const hint = "Run as root, or choose a port above 1023 with --https-listen-port";
    const message = `Cannot listen on port ${port}: permission denied`;
    return new SupervisorError("ERR_SUPERVISOR_PORT_FORBIDDEN", message, { hint, cause });
  }
}
