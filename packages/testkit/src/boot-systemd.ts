import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import { cgroupMounts, joinGroups } from "./host-cgroups.ts";

interface BootOptions {
  readonly name: string;
  /** Name of the network namespace. */
  readonly namespace: string;
  /** Folder that becomes its file tree. */
  readonly root: string;
  readonly procsFiles: readonly string[];
}

/** A systemd that runs as process 1 of its own process tree. */
export interface RunningSystemd {
  /** Process id as this machine sees it. */
  readonly init: number;
  hasEnded(): boolean;
  /** Ends it and with it, by the kernel, its whole tree. Resolves when that is gone; may be called twice. */
  kill(): Promise<void>;
}

/** The namespaces of a host, as nsenter and unshare name them. */
const NAMESPACES = ["--mount", "--uts", "--ipc", "--pid", "--cgroup"];
/** What the machine gives to the host; the rest of /dev is its own. */
const DEVICES = "null zero full random urandom tty kmsg";

/** Starts systemd on a file tree. Resolves when it runs, which is before it has booted. */
export async function bootSystemd(options: BootOptions): Promise<RunningSystemd> {
  const script = `set -e
${joinGroups(options.procsFiles)}
exec unshare ${NAMESPACES.join(" ")} --fork --propagation private bash -c "$0"`;
  const args = [`--net=/run/netns/${options.namespace}`, "bash", "-c", script, bootScript(options)];
  const holder = spawn("nsenter", args, { stdio: ["ignore", "pipe", "pipe"] });
  const gone = once(holder, "close");
  const errors: Buffer[] = [];
  holder.stderr.on("data", (chunk: Buffer) => errors.push(chunk));
  await Promise.race([once(createInterface({ input: holder.stdout }), "line"), gone]);
  const children = await readFile(`/proc/${holder.pid ?? 0}/task/${holder.pid ?? 0}/children`, "utf8").catch(() => "");
  const init = Number(children.trim().split(" ")[0]);
  if (init === 0) throw new Error(`Cannot boot host "${options.name}": ${Buffer.concat(errors).toString()}`);
  const hasEnded = () => holder.exitCode !== null || holder.signalCode !== null;
  return {
    init,
    hasEnded,
    kill: async () => {
      if (!hasEnded()) process.kill(init, "SIGKILL");
      await gone;
    },
  };
}

/** The command that runs a program in the host whose process 1 is `init`. */
export function enter(init: number, argv: readonly string[]): [string, ...string[]] {
  return ["nsenter", "--target", String(init), ...NAMESPACES, "--net", "--", ...argv];
}

function bootScript({ name, root, procsFiles }: BootOptions): string {
  return `set -e
hostname ${name}
mount --bind ${root} ${root}
cd ${root}
mount -t proc proc proc
mount -t sysfs -o ro,nosuid,nodev,noexec sysfs sys
${cgroupMounts(procsFiles, "sys/fs/cgroup")}
mount -t tmpfs -o mode=755,nosuid dev dev
mkdir dev/pts dev/shm
for name in ${DEVICES}; do touch dev/$name; mount --bind /dev/$name dev/$name; done
ln -s /proc/self/fd dev/fd
ln -s /proc/self/fd/0 dev/stdin
ln -s /proc/self/fd/1 dev/stdout
ln -s /proc/self/fd/2 dev/stderr
ln -s pts/ptmx dev/ptmx
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts dev/pts
mount -t tmpfs -o mode=1777,nosuid,nodev shm dev/shm
mount -t tmpfs -o mode=755,nosuid,nodev run run
pivot_root . .
umount --lazy .
cd /
mount --make-rshared /
echo host is up
exec env -i container=test PATH=/usr/sbin:/usr/bin /usr/lib/systemd/systemd --log-target=journal </dev/null >/dev/null 2>&1`;
}
