import { spawn, type ChildProcess } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import type { TestContext } from "node:test";
import { fileURLToPath } from "node:url";

const MAIN = fileURLToPath(new URL("../src/main.ts", import.meta.url));

/** How a run of the real command line ended. */
export interface Ended {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Program and arguments to put before ours, such as `setpriv --reuid 65534`. */
  readonly wrapper?: readonly string[];
}

/** Our command line as the arguments of another program. */
export function commandLine(args: readonly string[]): readonly string[] {
  return [process.execPath, MAIN, ...args];
}

/** Starts k3s as a process of its own, with no variables but those given. It is gone after the test. */
export function start(t: TestContext, args: readonly string[], options: RunOptions = {}): ChildProcess & Running {
  const [file = "", ...rest] = [...(options.wrapper ?? []), ...commandLine(args)];
  const child = spawn(file, rest, {
    stdio: ["ignore", "pipe", "pipe"],
    env: { PATH: process.env["PATH"], K3S_CONFIG_FILE: "/dev/null", ...options.env },
  });
  t.after(() => child.kill("SIGKILL"));
  const ended = Promise.all([
    new Promise<Pick<Ended, "code" | "signal">>((resolve) => {
      child.once("exit", (code, signal) => resolve({ code, signal }));
    }),
    text(child.stdout),
    text(child.stderr),
  ]).then(([status, stdout, stderr]) => ({ ...status, stdout, stderr }));
  return Object.assign(child, { ended });
}

interface Running {
  readonly ended: Promise<Ended>;
}

/** Runs k3s to its end. */
export async function run(t: TestContext, args: readonly string[], options?: RunOptions): Promise<Ended> {
  return await start(t, args, options).ended;
}

/** A folder that is gone after the test. */
export async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "k3s-cmd-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}
