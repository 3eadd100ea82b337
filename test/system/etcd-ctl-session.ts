import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import { once } from "node:events";
import type { TestContext } from "node:test";
import { findProgram, until, type EtcdctlProgram } from "@k3s/testkit";

const PATIENCE_MS = 180_000;

/** Which etcdctl talks to whom. */
interface CtlTarget {
  readonly name: EtcdctlProgram;
  readonly endpoint: string;
}

/** An etcdctl that runs until it is told to end, or has someone to talk to. */
export class EtcdctlSession {
  readonly #child: ChildProcessWithoutNullStreams;
  readonly #exited: Promise<unknown>;
  readonly #what: string;
  #output = "";

  private constructor(child: ChildProcessWithoutNullStreams, what: string) {
    this.#child = child;
    this.#what = what;
    this.#exited = once(child, "close");
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding("utf8").on("data", (text: string) => {
        this.#output += text;
      });
  }

  /** It is gone after the test, whatever it was doing. */
  static async start(t: TestContext, { name, endpoint }: CtlTarget, args: readonly string[]): Promise<EtcdctlSession> {
    const program = await findProgram(name);
    const child = spawn(program, [`--endpoints=${endpoint}`, ...args], {
      env: { ETCDCTL_API: "3", PATH: "/usr/bin:/bin" },
      timeout: PATIENCE_MS,
    });
    t.after(() => child.kill("SIGKILL"));
    const session = new EtcdctlSession(child, args.join(" "));
    await once(child, "spawn");
    return session;
  }

  /** What it has printed, without the client's own log, which tells of every retry. */
  get output(): string {
    return this.#output.replace(/^\{"level":"warn".*\n/gm, "");
  }

  /** Waits until it has printed `text`, `times` times. */
  async tells(text: string, times = 1): Promise<void> {
    const isTold = () => Promise.resolve(this.output.split(text).length > times);
    await until(`etcdctl ${this.#what} tells "${text}"`, isTold).catch((error: unknown) => {
      throw new Error(`etcdctl told only: ${this.output}`, { cause: error });
    });
  }

  type(line: string): void {
    this.#child.stdin.write(`${line}\n`);
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** The exit status, once it has ended; null when a signal ended it. */
  async end(): Promise<number | null> {
    this.#child.stdin.end();
    await this.#exited;
    return this.#child.exitCode;
  }
}

/** Commands of one test to one endpoint. */
export class Etcdctls {
  readonly #t: TestContext;
  readonly #target: CtlTarget;

  constructor(t: TestContext, target: CtlTarget) {
    this.#t = t;
    this.#target = target;
  }

  start(...args: readonly string[]): Promise<EtcdctlSession> {
    return EtcdctlSession.start(this.#t, this.#target, args);
  }

  /** What a command printed until its end, below its exit status when that is not 0. */
  async run(...args: readonly string[]): Promise<string> {
    const session = await this.start(...args);
    const code = await session.end();
    return code === 0 ? session.output : `exit ${code}\n${session.output}`;
  }

  /** In the order in which they were created. */
  async keysBelow(prefix: string): Promise<string[]> {
    const output = await this.run("get", prefix, "--prefix", "--keys-only", "--sort-by=CREATE");
    return output.split("\n").filter(Boolean);
  }

  async untilKeys(prefix: string, count: number): Promise<void> {
    await until(`there are ${count} keys`, async () => (await this.keysBelow(prefix)).length === count);
  }
}
