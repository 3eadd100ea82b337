import { execFile } from "node:child_process";
import type { TestContext } from "node:test";
import { promisify } from "node:util";
import { findProgram, until } from "@k3s/testkit";
import { start, type RunOptions } from "./cli-process.ts";

const run = promisify(execFile);

/** `k3s datastore serve` as a process of its own. */
export interface ServedDatastore {
  /** `host:port`; the port is 0 on a unix socket. */
  readonly endpoint: string;
  readonly metricsPort: number;
  readonly pid: number;
  /** The log so far. */
  readonly log: () => string;
  /** Asks it to end; resolves with its exit code. */
  readonly stop: () => Promise<number | null>;
}

/** Starts it on free ports of loopback unless the arguments say otherwise; resolves once it serves. It is gone after the test. */
export async function serveDatastore(
  t: TestContext,
  args: readonly string[],
  options?: RunOptions,
): Promise<ServedDatastore> {
  const listening = args.some((arg) => arg.startsWith("--listen-address")) ? [] : ["--listen-address=127.0.0.1:0"];
  const metrics = args.some((arg) => arg.startsWith("--metrics-")) ? [] : ["--metrics-bind-address=127.0.0.1:0"];
  const child = start(t, ["datastore", "serve", ...listening, ...metrics, ...args], options);
  let log = "";
  child.stderr?.on("data", (chunk: Buffer) => {
    log += chunk.toString();
  });
  await until("the datastore is served", () => {
    if (child.exitCode !== null) return Promise.reject(new Error(`It ended with ${child.exitCode}\n${log}`));
    return Promise.resolve(log.includes("the datastore is served"));
  });
  return {
    endpoint: `127.0.0.1:${/address=\S*:(\d+)/.exec(log)?.[1] ?? "0"}`,
    metricsPort: Number(/metrics are served.* port=(\d+)/.exec(log)?.[1] ?? "0"),
    pid: child.pid ?? 0,
    log: () => log,
    stop: async () => {
      child.kill("SIGTERM");
      return (await child.ended).code;
    },
  };
}

/** What etcdctl printed. Rejects when it fails. */
export async function etcdctl(args: readonly string[]): Promise<string> {
  const { stdout } = await run(await findProgram("etcdctl"), args, { env: { ETCDCTL_API: "3" }, timeout: 20_000 });
  return stdout;
}
