import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { formatRange, type Family, type Range } from "./address.ts";
import type { Ranges } from "./entries.ts";
import { NetworkError } from "./errors.ts";

/** A chain of ours with the rules it should hold, and the chain of the kernel's that leads to it. */
export interface Chain {
  readonly table: "nat" | "filter";
  readonly name: string;
  readonly rules: readonly string[];
  readonly from: string;
  readonly jump: string;
}

const MASQUERADE_COMMENT = '-m comment --comment "flanneld masq"';
const FORWARD_COMMENT = '-m comment --comment "flanneld forward"';
/** kube-proxy marks what it masquerades itself. */
const KUBE_PROXY_MARK = "-m mark --mark 0x4000/0x4000";
const MULTICAST: Readonly<Record<Family, string>> = { 4: "224.0.0.0/4", 6: "ff00::/8" };

/**
 * flannel's chains, in the spelling that iptables has for them: pods speak to each other with their own addresses and to the
 * rest of the world with the node's; what comes from or goes to pods may pass.
 */
export function chainsOf({ cluster, subnet }: Ranges): readonly Chain[] {
  const [all, own] = [formatRange(cluster), formatRange(subnet)];
  const masquerade = (match: string, target: string) =>
    `-A FLANNEL-POSTRTG ${match} ${MASQUERADE_COMMENT} -j ${target}`;
  const accept = (match: string) => `-A FLANNEL-FWD ${match} ${FORWARD_COMMENT} -j ACCEPT`;
  return [
    {
      table: "nat",
      name: "FLANNEL-POSTRTG",
      rules: [
        masquerade(KUBE_PROXY_MARK, "RETURN"),
        masquerade(`-s ${own} -d ${all}`, "RETURN"),
        masquerade(`-s ${all} -d ${own}`, "RETURN"),
        masquerade(`! -s ${all} -d ${own}`, "RETURN"),
        masquerade(`-s ${all} ! -d ${multicastOf(cluster)}`, "MASQUERADE --random-fully"),
        masquerade(`! -s ${all} -d ${all}`, "MASQUERADE --random-fully"),
      ],
      from: "POSTROUTING",
      jump: `-A POSTROUTING ${MASQUERADE_COMMENT} -j FLANNEL-POSTRTG`,
    },
    {
      table: "filter",
      name: "FLANNEL-FWD",
      rules: [accept(`-s ${all}`), accept(`-d ${all}`)],
      from: "FORWARD",
      jump: `-A FORWARD ${FORWARD_COMMENT} -j FLANNEL-FWD`,
    },
  ];
}

function multicastOf({ family }: Range): string {
  return MULTICAST[family];
}

const run = promisify(execFile);
/** Others may hold the lock of the tables for some seconds. */
const LOCK_WAIT_SECONDS = "5";
const PROGRAM_LIMIT_MS = 30_000;
const PROGRAMS: Readonly<Record<Family, string>> = { 4: "iptables", 6: "ip6tables" };

/** Keeps the chains of one family in the kernel's tables. */
export class PacketRules {
  readonly #program: string;
  readonly #env: { readonly PATH: string };
  /** Rules as iptables prints them, by the rules as they were given: its spelling depends on its version. */
  readonly #printed = new Map<string, string>();

  /** `path` is searched for the programs of iptables. */
  constructor(family: Family, path: string) {
    this.#program = PROGRAMS[family];
    this.#env = { PATH: path };
  }

  /** Compares and mends. Returns what was done; rejects with NetworkError when that is not possible. */
  async keep(chains: readonly Chain[], signal: AbortSignal): Promise<readonly string[]> {
    const done: string[] = [];
    for (const chain of chains) {
      const { table, name, rules, from, jump } = chain;
      const given = rules.join("\n");
      const [held, leading] = [await this.#list(table, name, signal), await this.#list(table, from, signal)];
      const isLaid = held === (this.#printed.get(given) ?? given);
      const isLed = leading?.includes(`-j ${name}`) === true;
      if (isLaid && isLed) continue;
      await this.#restore(chain, { isLed, signal });
      this.#printed.set(given, (await this.#list(table, name, signal)) ?? given);
      done.push(isLaid ? `add rule ${jump}` : `lay chain ${name}`);
    }
    return done;
  }

  /** The rules of a chain; undefined when there is no such chain. */
  async #list(table: string, chain: string, signal: AbortSignal): Promise<string | undefined> {
    try {
      const text = await this.#run(["-w", LOCK_WAIT_SECONDS, "-t", table, "-S", chain], signal);
      const lines = text.split("\n").filter((line) => line.startsWith("-A "));
      return lines.join("\n");
    } catch (error) {
      // 1: there is no such chain; that the program is missing or not allowed says another number, or shows when it writes.
      if (error instanceof Error && "code" in error && error.code === 1) return undefined;
      throw NetworkError.rules(this.#program, error);
    }
  }

  /** Sets the whole chain in one step; naming it empties it. */
  async #restore(
    { table, name, rules, jump }: Chain,
    { isLed, signal }: { readonly isLed: boolean; readonly signal: AbortSignal },
  ): Promise<void> {
    const lines = [`*${table}`, `:${name} - [0:0]`, ...rules, ...(isLed ? [] : [jump]), "COMMIT", ""];
    const options = { env: this.#env, signal, timeout: PROGRAM_LIMIT_MS };
    try {
      const running = run(`${this.#program}-restore`, ["-w", LOCK_WAIT_SECONDS, "--noflush"], options);
      running.child.stdin?.on("error", () => undefined).end(lines.join("\n"));
      await running;
    } catch (error) {
      throw NetworkError.rules(`${this.#program}-restore`, error);
    }
  }

  async #run(args: readonly string[], signal: AbortSignal): Promise<string> {
    const options = { env: this.#env, signal, timeout: PROGRAM_LIMIT_MS, maxBuffer: 64 * 1024 * 1024 };
    return (await run(this.#program, args, options)).stdout;
  }
}
