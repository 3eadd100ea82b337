import { execFile } from "node:child_process";

/** The output of a short-lived program. Rejects when it is missing, fails, or `signal` aborts. */
export function runProgram(
  command: readonly [string, ...string[]],
  options: { readonly signal?: AbortSignal; readonly path?: string } = {},
): Promise<string> {
  const [file, ...args] = command;
  return new Promise((resolve, reject) => {
    execFile(
      file,
      args,
      {
        maxBuffer: 64 * 1024 * 1024,
        ...(options.signal === undefined ? {} : { signal: options.signal }),
        ...(options.path === undefined ? {} : { env: { PATH: options.path } }),
      },
      (error, stdout, stderr) => {
        if (error === null) resolve(stdout);
        else
          reject(
            new Error(`Cannot run "${file} ${args[0] ?? ""}": ${stderr.trim() || error.message}`, { cause: error }),
          );
      },
    );
  });
}
