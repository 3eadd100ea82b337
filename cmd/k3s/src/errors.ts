import type { Role } from "@k3s/config";
import { describeError, NodeError } from "@k3s/errors";

/** The command line cannot be understood. */
export class UsageError extends NodeError {
  override readonly name = "UsageError";

  static wrongArguments(reason: string, command: string): UsageError {
    return new UsageError("ERR_USAGE", `Cannot run k3s: ${reason}`, { hint: `See ${command} --help` });
  }

  /** All mistakes at once, each a line that begins with the name of its flag. */
  static wrongSettings(problems: readonly string[], command: string): UsageError {
    const message = `Cannot run ${command} with these settings:\n  ${problems.join("\n  ")}`;
    return new UsageError("ERR_USAGE_SETTINGS", message, { hint: `Correct them; see ${command} --help` });
  }

  static absentCommand(name: string): UsageError {
    return new UsageError("ERR_USAGE_COMMAND_ABSENT", `Cannot run k3s: this version has no command "${name}"`, {
      hint: "See k3s --help for the commands there are",
    });
  }

  /** `group`: the command that it was to be one of. */
  static unknownCommand(name: string, suggestion: string | undefined, group = "k3s"): UsageError {
    const guess = suggestion === undefined ? "" : `, did you mean "${suggestion}"?`;
    return new UsageError("ERR_USAGE_COMMAND", `Cannot run ${group}: "${name}" is not a command${guess}`, {
      hint: `See ${group} --help for the commands there are`,
    });
  }
}

/** What was asked for cannot be told. */
export class OutputError extends NodeError {
  override readonly name = "OutputError";

  static notWritten(cause: unknown): OutputError {
    return new OutputError("ERR_OUTPUT", "Cannot write the output: stdout does not take all of it", {
      hint: "Make room on the disk that stdout is written to, or send it elsewhere, and run the command again",
      cause,
    });
  }
}

/** A server beside the node cannot be run. */
export class ServeError extends NodeError {
  override readonly name = "ServeError";

  static cannotListen(address: string, cause: unknown): ServeError {
    return new ServeError("ERR_SERVE_LISTEN", `Cannot listen on "${address}" for metrics`, {
      hint: "Choose another address with --metrics-bind-address, or 0 for none",
      cause,
    });
  }
}

/** A tool for people cannot do its work on the datastore. */
export class DatastoreToolError extends NodeError {
  override readonly name = "DatastoreToolError";

  static inUse(path: string, cause: unknown): DatastoreToolError {
    return new DatastoreToolError("ERR_DATASTORE_IN_USE", `Cannot change datastore "${path}": a server uses it`, {
      hint: "Have that server do it: name the address it listens on, as --endpoint http://HOST:PORT, https://HOST:PORT or --endpoint unix:///PATH of its socket",
      cause,
    });
  }

  static unreachable(limitSeconds: number, cause: unknown): DatastoreToolError {
    const message = `Cannot open the datastore: the database did not answer within ${limitSeconds} s`;
    return new DatastoreToolError("ERR_DATASTORE_UNREACHABLE", message, {
      hint: "Look whether the database runs, and whether the address, the CA and the certificate are right",
      cause,
    });
  }

  static unreadable(cause: unknown): DatastoreToolError {
    return new DatastoreToolError("ERR_DATASTORE_UNREADABLE", "Cannot read the datastore: the database failed", {
      hint: "The cause has the database's own words; look at its log, and whether the user may read the tables",
      cause,
    });
  }

  static valueGone(key: string, row: number): DatastoreToolError {
    const message = `Cannot dump key "${key}": row ${row} is there, and its value is not`;
    return new DatastoreToolError("ERR_DATASTORE_VALUE_GONE", message, {
      hint: "Dump it through its server, which reads at one revision: name that with --endpoint. If none runs, k3s datastore check looks for damage",
    });
  }

  static refused(work: string, reason: string): DatastoreToolError {
    return new DatastoreToolError("ERR_DATASTORE_REFUSED", `Cannot ${work}: ${reason}`, {
      hint: "k3s datastore status shows the current revision, and the compacted one unless its server keeps it to itself",
    });
  }
}

/** A token of the cluster cannot be made, listed, removed or changed. */
export class TokenCommandError extends NodeError {
  override readonly name = "TokenCommandError";

  static unreachable(work: string, server: string, cause: unknown): TokenCommandError {
    const message = `Cannot ${work}: the API server at ${server} does not answer (${describeError(cause)})`;
    return new TokenCommandError("ERR_TOKEN_API_UNREACHABLE", message, {
      hint: "Look whether the server runs, and whether the kubeconfig names its address and its CA",
      cause,
    });
  }

  static exists(work: string): TokenCommandError {
    return new TokenCommandError("ERR_TOKEN_EXISTS", `Cannot ${work}: a token with this id already exists`, {
      hint: "Leave the token out to have one made up, or remove the old one with k3s token delete",
    });
  }

  static absent(work: string): TokenCommandError {
    return new TokenCommandError("ERR_TOKEN_ABSENT", `Cannot ${work}: there is none with this id`, {
      hint: "See k3s token list; a token that has come to its end is removed by itself",
    });
  }

  static forbidden(work: string, cause: Error): TokenCommandError {
    return new TokenCommandError("ERR_TOKEN_API_FORBIDDEN", `Cannot ${work}: ${cause.message}`, {
      hint: "Use a kubeconfig of an administrator, such as server/cred/admin.kubeconfig below the data dir of a server",
      cause,
    });
  }

  static failed(work: string, cause: Error): TokenCommandError {
    return new TokenCommandError("ERR_TOKEN_API_FAILED", `Cannot ${work}: ${cause.message}`, {
      hint: "A server that is starting answers in a minute; else its log says more",
      cause,
    });
  }

  static noToken(serverDir: string): TokenCommandError {
    const message = `Cannot change the token: there is no token of a server in "${serverDir}"`;
    return new TokenCommandError("ERR_TOKEN_UNKNOWN", message, {
      hint: "Run this on a server as root, or give the token with --token and the server with --server",
    });
  }

  static refused(server: string, isLocal: boolean): TokenCommandError {
    const which = isLocal ? "the token in server/token" : "this token";
    const message = `Cannot change the token: ${server} does not accept ${which} (401 Unauthorized)`;
    return new TokenCommandError("ERR_TOKEN_ROTATE_REFUSED", message, {
      hint: "After a change a server takes the old token until it is started again: restart it, or give that with --token",
    });
  }

  static notRotated(cause: Error): TokenCommandError {
    return new TokenCommandError("ERR_TOKEN_NOT_ROTATED", `Cannot change the token: ${cause.message}`, {
      hint: "The token is as before; the log of that server says why, beside the number above if there is one",
      cause,
    });
  }
}

/** A bundled tool cannot be run. */
export class ToolError extends NodeError {
  override readonly name = "ToolError";

  static absent(name: string, place: string): ToolError {
    return new ToolError("ERR_TOOL_ABSENT", `Cannot run ${name}: the components in "${place}" do not have it`, {
      hint: `Install ${name} on this machine, or use a component set that has it`,
    });
  }

  static noPlace(path: string): ToolError {
    const message = `Cannot unpack the programs of k3s to "${path}": it is not a folder of yours alone`;
    return new ToolError("ERR_TOOL_NO_PLACE", message, {
      hint: "Make your home folder writable, or name a folder in K3S_DATA_DIR, with 700 MB free on a file system without noexec",
    });
  }

  static notExecutable(path: string, cause: unknown): ToolError {
    return new ToolError("ERR_TOOL_NOT_EXECUTABLE", `Cannot run "${path}": the kernel refuses to execute it`, {
      hint: "Make sure that the file system is not mounted noexec and that you may read the file",
      cause,
    });
  }
}

/** The log cannot be written where it should be. */
export class LogError extends NodeError {
  override readonly name = "LogError";

  static notWritable(path: string, cause: unknown): LogError {
    return new LogError("ERR_LOG_NOT_WRITABLE", `Cannot write the log to "${path}": the file cannot be opened`, {
      hint: "Name a file in a folder that can be written with --log, or leave it out to log to stderr",
      cause,
    });
  }
}

/** The node was asked to end, and does not. */
export class StopError extends NodeError {
  override readonly name = "StopError";

  static stuck(components: readonly string[]): StopError {
    return new StopError("ERR_STOP_STUCK", `Cannot stop the node: ${components.join(", ")} did not stop in time`, {
      hint: "Whatever is left of it is ended at the next start; a disk that does not answer is a common cause",
    });
  }
}

/** What holds a port: its process when that can be seen. */
export interface PortOwner {
  readonly pid: number;
  readonly name: string;
}

/** The machine is not in a state in which a node can start. Nothing but a log file and a lock has been written yet. */
export class PreflightError extends NodeError {
  override readonly name = "PreflightError";

  static notRoot(role: Role, uid: number): PreflightError {
    const alone = role === "server" ? "; the control plane alone (--disable-agent) needs root too" : "";
    return new PreflightError("ERR_NOT_ROOT", `Cannot start k3s ${role}: it runs as user ${uid}, not as root`, {
      hint: `Start it with sudo or as a system service${alone}`,
    });
  }

  static clock(role: Role, now: Date): PreflightError {
    return new PreflightError("ERR_CLOCK", `Cannot start k3s ${role}: the clock says ${now.toISOString()}`, {
      hint: "Set the clock first: certificates made now would already be invalid",
    });
  }

  static alreadyRunning(dataDir: string, pid: string): PreflightError {
    const owner = pid === "" ? "another k3s" : `k3s process ${pid}`;
    return new PreflightError("ERR_ALREADY_RUNNING", `Cannot use data dir "${dataDir}": ${owner} is running on it`, {
      hint: "Stop that one first, for example with systemctl stop k3s; a machine runs one k3s, its ports, pods and kubeconfig are shared",
    });
  }

  static portTaken(
    port: number,
    use: { readonly purpose: string; readonly flag: string | undefined; readonly owner: PortOwner | undefined },
  ): PreflightError {
    const owner =
      use.owner === undefined
        ? "a process that cannot be seen from here"
        : `${use.owner.name}, process ${use.owner.pid}`;
    return new PreflightError("ERR_PORT_TAKEN", `Cannot use port ${port} for ${use.purpose}: it is taken by ${owner}`, {
      hint: `Stop that process, or choose another port with ${use.flag ?? "an argument of that component"}`,
    });
  }

  static bindAddress(address: string, cause: unknown): PreflightError {
    return new PreflightError(
      "ERR_BIND_ADDRESS",
      `Cannot listen on "${address}": it is not an address of this machine`,
      {
        hint: "Give --bind-address one of the addresses that ip addr shows, or leave it out to listen on all of them",
        cause,
      },
    );
  }

  static kubeconfigUnwritable(path: string, cause: unknown): PreflightError {
    return new PreflightError(
      "ERR_KUBECONFIG_UNWRITABLE",
      `Cannot write kubeconfig "${path}": its folder cannot be written`,
      {
        hint: "Choose another place with --write-kubeconfig",
        cause,
      },
    );
  }

  static dataDirNotFolder(path: string, found: string): PreflightError {
    return new PreflightError("ERR_DATA_DIR_NOT_FOLDER", `Cannot use data dir "${path}": "${found}" is not a folder`, {
      hint: "Move that file away or choose another --data-dir",
    });
  }

  static dataDirReadOnly(path: string, cause: unknown): PreflightError {
    return new PreflightError("ERR_DATA_DIR_READ_ONLY", `Cannot use data dir "${path}": it cannot be written`, {
      hint: "Mount that file system writable, or choose another --data-dir",
      cause,
    });
  }

  static dataDirFull(path: string, free: { readonly what: string; readonly needed: string }): PreflightError {
    const message = `Cannot use data dir "${path}": its file system has ${free.what} left, at least ${free.needed} are needed`;
    return new PreflightError("ERR_DATA_DIR_FULL", message, {
      hint: "Free some space there, or choose another --data-dir",
    });
  }

  static dataDirNoExec(path: string, mountPoint: string): PreflightError {
    const message = `Cannot use data dir "${path}": "${mountPoint}" is mounted noexec`;
    return new PreflightError("ERR_DATA_DIR_NOEXEC", message, {
      hint: "Programs and containers run from there: remount it with exec, or choose another --data-dir",
    });
  }
}
