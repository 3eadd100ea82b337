import { NodeError } from "@k3s/errors";

/** A child program or a process left over from an earlier run stands in the way. */
export class ProcessError extends NodeError {
  override readonly name = "ProcessError";

  static executableUnusable(child: string, path: string, cause: unknown): ProcessError {
    return new ProcessError("ERR_PROCESS_EXECUTABLE", `Cannot run "${child}": "${path}" is not an executable file`, {
      hint: "Get the components again, or correct the path that names this program",
      cause,
    });
  }

  static spawnFailed(child: string, cause: unknown): ProcessError {
    return new ProcessError("ERR_PROCESS_SPAWN", `Cannot start "${child}": no process could be made for it`, {
      hint: "Check the limits on processes and open files (ulimit -u, ulimit -n) and the free memory",
      cause,
    });
  }

  /** `file` has all that the program printed, when it is not all in the log. */
  static notReady(
    child: string,
    { problem, file }: { problem: string; file: string | undefined },
    cause: unknown,
  ): ProcessError {
    return new ProcessError("ERR_PROCESS_NOT_READY", `Cannot start "${child}": ${problem}`, {
      hint:
        file === undefined
          ? `The log lines with child=${child} tell more`
          : `The log lines with child=${child} tell more; all that it printed is in "${file}"`,
      cause,
    });
  }

  static leftoverAlive(child: string, pid: number, cause: unknown): ProcessError {
    const message = `Cannot end process ${pid} ("${child}"), left over from an earlier run: it is still there`;
    return new ProcessError("ERR_PROCESS_LEFTOVER", message, {
      hint: `Find out what holds it (cat /proc/${pid}/stack), end it, or restart the machine`,
      cause,
    });
  }
}
