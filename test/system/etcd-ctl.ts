import { spawn } from "node:child_process";
import { once } from "node:events";
import type { TransportName } from "@k3s/etcd-api";
import { ETCDCTLS, findProgram, type EtcdctlProgram } from "@k3s/testkit";

export interface CtlStep {
  readonly args: readonly string[];
  /** What is typed, for `txn`. */
  readonly input?: string;
  /** Ends a `watch -w json` once it told of this many events; how they came in messages does not matter. */
  readonly events?: number;
}

/** Each etcdctl on our own HTTP/2 layer, and the one of the etcd that is the contract on the other transport too. */
export const ETCDCTL_RUNS: readonly { readonly name: EtcdctlProgram; readonly transport: TransportName }[] = [
  ...ETCDCTLS.map((name) => ({ name, transport: "http2" as const })),
  { name: "etcdctl-3.5", transport: "grpc-js" },
];

const PATIENCE_MS = 20_000;
/** Fields of `-w json` that hold a position in the log. */
const REVISION_FIELDS: ReadonlySet<string> = new Set(["revision", "mod_revision", "create_revision"]);
/** Fields that name a server or its size: another one on each. */
const SERVER_FIELDS: ReadonlySet<string> = new Set(["cluster_id", "member_id", "raft_term", "leader", "dbSize"]);

/** Runs etcdctl against one endpoint and makes its output comparable with that of another. */
export class Etcdctl {
  readonly #endpoint: string;
  readonly #cwd: string;
  readonly #program: string;
  /** Id of the one member. */
  #member = "";
  readonly #leases: string[] = [];
  /** Every revision the endpoint was at, in order. A change of several keys may use up more than one. */
  readonly #revisions: number[] = [];

  private constructor(program: string, endpoint: string, cwd: string) {
    this.#program = program;
    this.#endpoint = endpoint;
    this.#cwd = cwd;
  }

  /** Takes the endpoint's current revision for the origin: `{rev+N}` in arguments is the Nth change after it, `{member}` the id of the one member. */
  static async connect(name: EtcdctlProgram, endpoint: string, cwd: string): Promise<Etcdctl> {
    const ctl = new Etcdctl(await findProgram(name), endpoint, cwd);
    const { stdout } = await ctl.#spawn({ args: ["member", "list"] });
    ctl.#member = stdout.slice(0, stdout.indexOf(","));
    await ctl.#noteRevision();
    return ctl;
  }

  /** What the command printed, with revisions and leases numbered in order of appearance. */
  async run(step: CtlStep): Promise<string> {
    const { code, stdout, stderr } = await this.#spawn(step);
    await this.#noteRevision();
    const text = step.args.includes("json") ? this.#normalizeJson(stdout, step.events) : stdout;
    const errors = stderr.replace(/^\{"level":"warn".*\n/gm, ""); // the client's own log tells of every retry
    const exit = step.events === undefined ? `exit ${code}\n` : "";
    return this.#numberLeases(`${exit}${text}${errors}`)
      .replaceAll(this.#endpoint, "ENDPOINT")
      .replaceAll(this.#member, "MEMBER")
      .replace(/compacted revision \d+/, "compacted revision N")
      .replace(/took = [\d.]+.?s/, "took = TIME")
      .replace(/remaining\(\d+s\)/, "remaining(TIME)")
      .replace(/(?<=attached keys\(\[)[^\]]*/, sortWords); // etcd lists them in the random order of a Go map
  }

  async #noteRevision(): Promise<void> {
    const { stdout } = await this.#spawn({ args: ["get", "no-such-key", "-w", "json"] });
    const { header } = JSON.parse(stdout) as { readonly header: { readonly revision: number } };
    if (this.#revisions.at(-1) !== header.revision) this.#revisions.push(header.revision);
  }

  async #spawn(
    step: CtlStep,
  ): Promise<{ readonly code: number | null; readonly stdout: string; readonly stderr: string }> {
    const args = [`--endpoints=${this.#endpoint}`, ...step.args.map((arg) => this.#fill(arg))];
    const child = spawn(this.#program, args, {
      cwd: this.#cwd,
      env: { ETCDCTL_API: "3" },
      timeout: PATIENCE_MS,
      stdio: [step.input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
    });
    const output = { stdout: "", stderr: "" };
    const exited = once(child, "close") as Promise<[number | null]>;
    for (const name of ["stdout", "stderr"] as const) {
      child[name]?.setEncoding("utf8").on("data", (text: string) => {
        output[name] += text;
        if (step.events !== undefined && eventsIn(output.stdout).length >= step.events) child.kill();
      });
    }
    child.stdin?.end(step.input);
    const [code] = await exited;
    return { code, ...output };
  }

  #fill(arg: string): string {
    return arg
      .replace("{member}", this.#member)
      .replace(/\{rev([+-]\d+)\}/g, (_, offset: string) => this.#revision(Number(offset)))
      .replace(/\{lease(\d+)\}/g, (_, index: string) => this.#leases[Number(index)] ?? "0");
  }

  #revision(ordinal: number): string {
    const last = this.#revisions.at(-1) ?? 0;
    return String(this.#revisions[ordinal] ?? last + ordinal);
  }

  #numberLeases(text: string): string {
    for (const [, id] of text.matchAll(/lease ([0-9a-f]{15,16})\b/g)) {
      if (id !== undefined && !this.#leases.includes(id)) this.#leases.push(id);
    }
    return this.#leases.reduce((result, id, index) => result.replaceAll(id, `LEASE${index}`), text);
  }

  #normalizeJson(text: string, events: number | undefined): string {
    const parsed = text === "" ? [] : completeLines(text).map((line) => this.#parse(line));
    return JSON.stringify(events === undefined ? parsed : eventsOf(parsed));
  }

  #parse(line: string): unknown {
    return JSON.parse(this.#quoteLeases(line), (key, value: unknown) => this.#relative(key, value));
  }

  /** Lease ids do not fit a double. */
  #quoteLeases(line: string): string {
    return line.replace(
      /"(lease|ID|id)":(\d{16,})/g,
      (_, key: string, id: string) => `"${key}":"lease ${BigInt(id).toString(16).padStart(16, "0")}"`,
    );
  }

  #relative(key: string, value: unknown): unknown {
    if (SERVER_FIELDS.has(key)) return "*";
    if (!REVISION_FIELDS.has(key) || typeof value !== "number") return value;
    const ordinal = this.#revisions.indexOf(value);
    return ordinal === -1 ? `unknown revision ${value}` : ordinal;
  }
}

function completeLines(text: string): string[] {
  return text.slice(0, text.lastIndexOf("\n")).split("\n").filter(Boolean);
}

function eventsIn(text: string): unknown[] {
  return eventsOf(completeLines(text).map((line): unknown => JSON.parse(line)));
}

function eventsOf(messages: readonly unknown[]): unknown[] {
  return messages.flatMap((message) => (message as { readonly Events?: readonly unknown[] }).Events ?? []);
}

function sortWords(text: string): string {
  return text.split(" ").toSorted().join(" ");
}
