import { randomBytes } from "node:crypto";
import { access, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { execa } from "execa";
import { bootSystemd, enter, type RunningSystemd } from "./boot-systemd.ts";
import { CgroupBranch } from "./cgroup-branch.ts";
import type { TestHostOptions } from "./test-host.ts";
import { until } from "./until.ts";

/** Folder with the file tree of a fresh machine, as `npm test` unpacks it. */
const ROOT_VARIABLE = "K3S_TEST_HOST_ROOT";
const RUN_LIMIT_MS = 600_000;
/** Services such as ours are part of it. */
const BOOT_LIMIT_MS = 240_000;
const HALT_LIMIT_MS = 150_000;
const LISTING_CHARS_MAX = 64 << 20;

/** What a program in a host printed, and how it ended. */
export interface Outcome {
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * A machine of its own with systemd as process 1: file tree, network namespace, process tree, cgroup root and mounts. Its disk
 * outlives its power. Nothing of it is left on this machine when it is disposed of.
 */
export class SystemdHost implements AsyncDisposable {
  readonly name: string;
  readonly address: string;
  readonly #options: TestHostOptions;
  readonly #root: string;
  /** What is undone when the power goes. */
  #power: AsyncDisposableStack | undefined;
  #running: RunningSystemd | undefined;

  private constructor(options: TestHostOptions, root: string) {
    this.name = options.name;
    this.address = options.address;
    this.#options = options;
    this.#root = root;
  }

  /** A fresh machine that is switched off. */
  static async create(options: TestHostOptions): Promise<SystemdHost> {
    const source = process.env[ROOT_VARIABLE];
    if (source === undefined) throw new Error(`Cannot make a host: ${ROOT_VARIABLE} names no file tree`);
    await access(join(source, "usr/lib/systemd/systemd"));
    const root = await mkdtemp(join(tmpdir(), `k3s-host-${options.name}-`));
    const host = new SystemdHost(options, root);
    try {
      await execa("cp", ["-a", `${source}/.`, root]);
      for (const [path, text] of Object.entries(identityFiles(options))) await writeFile(join(root, path), text);
      return host;
    } catch (error) {
      await host[Symbol.asyncDispose]();
      throw error;
    }
  }

  /** Where a file of the host lies on this machine. What the host has mounted over it is not seen. */
  outside(path: string): string {
    return join(this.#root, path);
  }

  /** Switches it on; resolves when every unit has started. */
  async boot(): Promise<void> {
    const { name, network } = this.#options;
    if (this.#power !== undefined) throw new Error(`Cannot boot "${name}": it runs`);
    const power = new AsyncDisposableStack();
    this.#power = power;
    const namespace = await network.plug(name, this.address);
    power.defer(() => network.unplug(name));
    const { procsFiles } = power.use(await CgroupBranch.create(`k3s-${network.id}-${name}`));
    const running = await bootSystemd({ name, namespace, root: this.#root, procsFiles });
    this.#running = running;
    power.defer(() => running.kill());
    const hasBooted = async () => {
      const state = (await this.attempt("systemctl", "is-system-running")).stdout.trim();
      if (["running", "degraded"].includes(state)) return true;
      throw new Error(`it is ${state}`);
    };
    await until(`host "${name}" has booted`, hasBooted, BOOT_LIMIT_MS);
  }

  /** Takes its power away: every process ends at once, and what was not on disk is lost as on a machine whose kernel goes on. */
  async powerCut(): Promise<void> {
    const power = this.#power;
    this.#power = undefined;
    this.#running = undefined;
    await power?.disposeAsync();
  }

  /** `systemctl poweroff`, to its end. */
  async shutDown(): Promise<void> {
    const { name } = this.#options;
    const running = this.#running;
    if (running === undefined) throw new Error(`Cannot shut "${name}" down: it does not run`);
    // The command may be ended by what it asked for.
    await this.attempt("systemctl", "poweroff", "--no-block");
    await until(`host "${name}" is down`, () => Promise.resolve(running.hasEnded()), HALT_LIMIT_MS);
    await this.powerCut();
  }

  /** Runs a program to its end and returns what it printed. Rejects when it fails. */
  async run(file: string, ...args: readonly string[]): Promise<string> {
    const { exitCode, stdout, stderr } = await this.attempt(file, ...args);
    if (exitCode !== 0)
      throw new Error(`${[file, ...args].join(" ")} on host "${this.name}" ended with ${exitCode}: ${stderr}${stdout}`);
    return stdout;
  }

  /** Runs a program to its end, whatever that is. */
  async attempt(file: string, ...args: readonly string[]): Promise<Outcome> {
    if (this.#running === undefined) throw new Error(`Cannot run ${file}: host "${this.name}" is off`);
    const [command, ...rest] = enter(this.#running.init, [file, ...args]);
    const result = await execa(command, rest, {
      ...{ reject: false, timeout: RUN_LIMIT_MS, extendEnv: false, stdin: "ignore" },
      env: { PATH: "/usr/local/bin:/usr/sbin:/usr/bin", HOME: "/root", LC_ALL: "C.UTF-8" },
    });
    return { exitCode: result.exitCode ?? -1, stdout: result.stdout, stderr: result.stderr };
  }

  /** Its whole disk: paths from the root, each with kind, mode, owner and, but for folders, size, link target and time of change. */
  async files(): Promise<ReadonlyMap<string, string>> {
    const format = String.raw`%p\t%y %m %U:%G\t%s %l %T@\n`;
    const { stdout } = await execa("find", [".", "-printf", format], { cwd: this.#root, maxBuffer: LISTING_CHARS_MAX });
    return new Map(
      stdout.split("\n").map((line) => {
        const [path = "", kind = "", content = ""] = line.split("\t");
        return [path.slice(1), kind.startsWith("d") ? kind : `${kind} ${content}`];
      }),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.powerCut();
    await rm(this.#root, { recursive: true, force: true });
  }
}

function identityFiles({ name }: TestHostOptions): Readonly<Record<string, string>> {
  return {
    "etc/hostname": `${name}\n`,
    "etc/hosts": `127.0.0.1 localhost ${name}\n`,
    "etc/resolv.conf": "nameserver 10.99.0.1\n",
    "etc/machine-id": `${randomBytes(16).toString("hex")}\n`,
  };
}
