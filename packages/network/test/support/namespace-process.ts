import { execFile, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { delimiter, join } from "node:path";
import { promisify } from "node:util";
import { DIST } from "@k3s/testkit";
import type { Answer, Command } from "../fixtures/in-namespace.ts";

const FIXTURE = join(import.meta.dirname, "../fixtures/in-namespace.ts");
/** iptables is not installed everywhere; the product brings it. */
const AUX = join(DIST, "lib/components/bin/aux");
export const SEARCH_PATH = [process.env["PATH"] ?? "", AUX].join(delimiter);

/** A process of our own in a network namespace: a process stays in one, so what is to be tried there has to run there. */
export class NamespaceProcess implements AsyncDisposable {
  readonly namespace: string;
  readonly #child: ChildProcess;
  #asked = 0;

  private constructor(namespace: string, child: ChildProcess) {
    this.namespace = namespace;
    this.#child = child;
  }

  static async start(namespace: string): Promise<NamespaceProcess> {
    const args = [`--net=/run/netns/${namespace}`, process.execPath, FIXTURE];
    const child = spawn("nsenter", args, { stdio: ["ignore", "inherit", "inherit", "ipc"] });
    await once(child, "message"); // it is ready
    return new NamespaceProcess(namespace, child);
  }

  /** Has the process do something, also while it does something else; rejects with what that throws. */
  async do<T>(command: Command): Promise<T> {
    const id = ++this.#asked;
    const { promise, resolve } = Promise.withResolvers<Answer>();
    const onMessage = (answer: Answer) => {
      if (answer.id === id) resolve(answer);
    };
    this.#child.on("message", onMessage);
    this.#child.send({ id, command });
    const { value, error } = await promise;
    this.#child.off("message", onMessage);
    if (error !== undefined) throw new Error(error);
    return value as T; // sound: the fixture answers each command with what the command's text says
  }

  /** Runs a program in the namespace and returns what it prints. */
  async run(...command: readonly string[]): Promise<string> {
    const options = { env: { PATH: SEARCH_PATH } };
    return (await promisify(execFile)("nsenter", [`--net=/run/netns/${this.namespace}`, ...command], options)).stdout;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const exited = once(this.#child, "exit");
    this.#child.disconnect();
    await exited;
  }
}
