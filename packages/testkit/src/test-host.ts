import { spawn, type ChildProcess, type SpawnOptions } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { execa } from "execa";
import { CgroupBranch } from "./cgroup-branch.ts";
import { cgroupMounts, joinGroups } from "./host-cgroups.ts";
import type { TestNetwork } from "./test-network.ts";

export interface TestHostOptions {
  readonly name: string;
  /** IPv4 address in the network's 10.99.0.0/24, or in 10.98.0.0/24 for a host behind address translation. */
  readonly address: string;
  readonly network: TestNetwork;
}

export interface HostProcess {
  readonly pid: number;
  readonly commandLine: readonly string[];
}

interface HostParts {
  readonly namespace: string;
  readonly undo: AsyncDisposableStack;
  readonly root: string;
  readonly init: number;
  readonly procsFiles: readonly string[];
}

/**
 * A light host of its own: network namespace, process tree, host name, cgroup root, /run, /var/lib, /var/log and /etc.
 * The machine's programs are there; nothing the host writes is left on the machine.
 */
export class TestHost implements AsyncDisposable {
  readonly name: string;
  readonly address: string;
  /** Name of its network namespace. */
  readonly namespace: string;
  readonly #undo: AsyncDisposableStack;
  readonly #root: string;
  readonly #init: number;
  readonly #procsFiles: readonly string[];
  readonly #wrappers = new Set<ChildProcess>();

  private constructor(options: TestHostOptions, parts: HostParts) {
    this.name = options.name;
    this.address = options.address;
    this.namespace = parts.namespace;
    this.#undo = parts.undo;
    this.#root = parts.root;
    this.#init = parts.init;
    this.#procsFiles = parts.procsFiles;
  }

  static async create(options: TestHostOptions): Promise<TestHost> {
    await using undo = new AsyncDisposableStack();
    const namespace = await options.network.plug(options.name, options.address);
    const root = await mkdtemp(join(tmpdir(), `k3s-host-${options.name}-`));
    undo.defer(() => rm(root, { recursive: true, force: true }));
    for (const folder of ["lib", "log", "etc", "etc-work", "libexec", "libexec-work"]) await mkdir(join(root, folder));
    const branch = undo.use(await CgroupBranch.create(`k3s-${options.network.id}-${options.name}`));
    const { init, gone } = await startInit({
      namespace,
      root,
      hostname: options.name,
      procsFiles: branch.procsFiles,
    });
    undo.defer(async () => {
      process.kill(init, "SIGKILL"); // the kernel then kills the host's whole process tree
      await gone;
    });
    return new TestHost(options, { namespace, undo: undo.move(), root, init, procsFiles: branch.procsFiles });
  }

  /** Where the host's /var/lib and /var/log lie on the machine. */
  outside(path: `/var/${"lib" | "log"}${string}`): string {
    return join(this.#root, path.slice("/var".length));
  }

  /** Starts a program in the host. The process id is that of a wrapper on the machine; see {@link pids}. */
  spawn(file: string, args: readonly string[], options: SpawnOptions = {}): ChildProcess {
    const wrapper = spawn("bash", ["-c", this.#entry(), file, ...args], options);
    this.#wrappers.add(wrapper);
    wrapper.once("exit", () => this.#wrappers.delete(wrapper));
    return wrapper;
  }

  /** Stops every process, as when the machine stands still. The kernel goes on, and accepts connections. */
  async freeze(): Promise<void> {
    await this.run("bash", "-c", "kill -STOP -1");
  }

  /** Ends {@link freeze}. */
  async thaw(): Promise<void> {
    await this.run("bash", "-c", "kill -CONT -1");
    this.#wakeWrappers();
  }

  /** Runs a program in the host to its end and returns what it printed; rejects when it fails or takes longer than a minute. */
  async run(file: string, ...args: string[]): Promise<string> {
    return (await execa("bash", ["-c", this.#entry(), file, ...args], { timeout: 60_000 })).stdout;
  }

  /** The host's processes, with the ids they have inside it. Kernel threads and zombies have no command line and are left out. */
  async processes(): Promise<readonly HostProcess[]> {
    const script = String.raw`for p in /proc/[0-9]*; do printf '%s\t' "${"$"}{p#/proc/}"; tr '\n\0' ' \t' 2>/dev/null <"$p/cmdline"; echo; done 2>/dev/null`;
    const lines = (await this.run("sh", "-c", script)).split("\n").map((line) => line.trimEnd().split("\t"));
    return lines
      .filter((words) => words.length > 1)
      .map(([pid, ...commandLine]) => ({ pid: Number(pid), commandLine }));
  }

  /** A shell script that runs its arguments in the host. */
  #entry(): string {
    const namespaces = ["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"];
    return `${joinGroups(this.#procsFiles)}\nexec nsenter --target ${this.#init} ${namespaces.join(" ")} -- "$0" "$@"`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#wakeWrappers();
    await this.#undo.disposeAsync();
  }

  /** nsenter stops together with its child, but nobody in the host can continue it, and its child is buried by it alone. */
  #wakeWrappers(): void {
    for (const wrapper of this.#wrappers) wrapper.kill("SIGCONT");
  }
}

interface InitOptions {
  readonly namespace: string;
  readonly root: string;
  readonly hostname: string;
  readonly procsFiles: readonly string[];
}

interface RunningInit {
  /** Process id of the host's process 1, as the machine sees it. */
  readonly init: number;
  /** Resolves when the host is gone. */
  readonly gone: Promise<unknown>;
}

/** Starts process 1 of the host: it joins the cgroup branch, makes the mounts, and then only collects orphans. */
async function startInit(options: InitOptions): Promise<RunningInit> {
  const unshare = [
    "unshare",
    "--mount",
    "--uts",
    "--ipc",
    "--pid",
    "--fork",
    "--cgroup",
    "--mount-proc",
    "--propagation",
    "private",
  ];
  const script = `set -e\n${joinGroups(options.procsFiles)}\nexec ${unshare.join(" ")} bash -c "$0"`;
  const args = [`--net=/run/netns/${options.namespace}`, "bash", "-c", script, initScript(options)];
  const holder = spawn("nsenter", args, { stdio: ["ignore", "pipe", "pipe"] });
  const gone = once(holder, "close");
  const errors: Buffer[] = [];
  holder.stderr.on("data", (chunk: Buffer) => errors.push(chunk));
  const firstLine = once(createInterface({ input: holder.stdout }), "line");
  await Promise.race([firstLine, gone]);
  const children = await readFile(`/proc/${holder.pid ?? 0}/task/${holder.pid ?? 0}/children`, "utf8").catch(() => "");
  const init = Number(children.trim().split(" ")[0]);
  if (init === 0) throw new Error(`Cannot start test host "${options.hostname}": ${Buffer.concat(errors).toString()}`);
  return { init, gone };
}

/** The machine itself may be a node, or have been one: what its kubelet and containerd mounted is not on the host. */
const FORGET_K3S_OF_MACHINE = String.raw`awk '$5 ~ "^/(var/lib/(kubelet|rancher)|run/(k3s|netns|containerd))(/|$)" { print $5 }' /proc/self/mountinfo |
  tac | while read -r place; do umount -l "$(printf '%b' "$place")"; done`;

function initScript({ root, hostname, procsFiles }: InitOptions): string {
  return `set -e
hostname ${hostname}
${FORGET_K3S_OF_MACHINE}
mount -t tmpfs -o mode=755 run /run
mkdir -p /run/lock
mount --bind ${root}/lib /var/lib
mount --bind ${root}/log /var/log
mount -t overlay -o lowerdir=/etc,upperdir=${root}/etc,workdir=${root}/etc-work overlay /etc
rm -rf /etc/rancher /etc/cni
mount -t overlay -o lowerdir=/usr/libexec,upperdir=${root}/libexec,workdir=${root}/libexec-work overlay /usr/libexec
echo "127.0.0.1 localhost ${hostname}" > /etc/hosts
echo ${hostname} > /etc/hostname
echo "nameserver 10.99.0.1" > /etc/resolv.conf
umount -l /sys
mount -t sysfs sysfs /sys
${cgroupMounts(procsFiles)}
echo host is up
exec 1>&2
trap : CHLD
while :; do sleep 3600 & wait $!; done`;
}
