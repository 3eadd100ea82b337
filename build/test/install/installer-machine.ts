import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { TestContext } from "node:test";

const CHECKOUT = join(import.meta.dirname, "../../..");
const SCRIPT = join(CHECKOUT, "install.sh");
const CLI = join(CHECKOUT, "cmd/k3s/src/main.ts");
/**
 * Binds what programs need, and the checkout; the machine's other mounts are not in the new root. Neither is a k3s of the machine: a
 * device of this number hides in an overlay what is below it.
 */
const MOUNTS = `
  set -e
  mount -t tmpfs tmpfs "$1"
  mkdir -p "$1/upper/etc" "$1/upper/var/lib" "$1/work" "$1/root"
  for place in etc/rancher var/lib/rancher var/lib/kubelet; do mknod "$1/upper/$place" c 0 0; done
  mount -t overlay overlay -o "lowerdir=$3,upperdir=$1/upper,workdir=$1/work" "$1/root"
  for place in /proc /dev; do mount --rbind "$place" "$1/root$place"; done
  mkdir -p "$1/root/sys/fs/cgroup"
  for place in /tmp /run /sys/fs/cgroup; do mount -t tmpfs tmpfs "$1/root$place"; done
  mkdir -p "$1/root$2"
  mount --bind "$2" "$1/root$2"
  mkdir -p "$1/root/fixture"
  echo ready
  exec cat
`;

/** A release. */
export const V1 = "v1.30.1+k3s1";
/** The variable that makes install.sh take what {@link InstallerMachine.provide} laid out, in place of a download. */
export const FROM_DIST = { INSTALL_K3S_DIST: "/fixture/dist" };

const LINE = ["dash", "-c", 'dash -s - "$@" </fixture/install.sh', "dash"];
const PATH = "/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/** Passes no variable of the user on, as the real one does. */
const SUDO = `#!/bin/sh
exec /fixture/bin/become-root --reuid=0 --regid=0 --clear-groups -- env -i HOME=/root PATH='${PATH}' "$@"
`;

interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * A file tree that begins as that of this machine, or as a folder, and takes every change for itself. Nothing of it is left
 * after the test.
 */
export class InstallerMachine {
  readonly #folder: string;
  readonly #pid: number;

  private constructor(folder: string, pid: number) {
    this.#folder = folder;
    this.#pid = pid;
  }

  static async create(t: TestContext, lower = "/"): Promise<InstallerMachine> {
    const folder = await mkdtemp(join(tmpdir(), "k3s-install-"));
    t.after(() => rm(folder, { recursive: true, force: true }));
    const args = ["--mount", "--net", "--propagation", "private", "sh", "-c", MOUNTS, "sh", folder, CHECKOUT, lower];
    const holder = spawn("unshare", args, { stdio: ["pipe", "pipe", "inherit"] });
    const gone = once(holder, "close");
    t.after(async () => {
      holder.kill("SIGKILL");
      await gone;
    });
    const ready = once(createInterface({ input: holder.stdout }), "line");
    if ((await Promise.race([ready, gone.then(() => undefined)])) === undefined)
      throw new Error("Cannot make the file tree: see above");
    return new InstallerMachine(folder, holder.pid ?? 0);
  }

  /** A machine like this one, where an executable waits, see {@link FROM_DIST}. */
  static async withDist(t: TestContext, executable = executableOf(V1)): Promise<InstallerMachine> {
    const machine = await InstallerMachine.create(t);
    await machine.provide(executable);
    return machine;
  }

  /** Where a file of the machine lies for this process. */
  path(inside: string): string {
    return join(`/proc/${this.#pid}/root`, this.#folder, "root", inside);
  }

  async read(inside: string): Promise<string> {
    return await readFile(this.path(inside), "utf8");
  }

  async write(inside: string, text: string, mode = 0o644): Promise<void> {
    await mkdir(join(this.path(inside), ".."), { recursive: true });
    await writeFile(this.path(inside), text);
    await chmod(this.path(inside), mode);
  }

  /** Lays an executable out where a build would, see {@link FROM_DIST}. */
  async provide(executable: string): Promise<void> {
    await this.write(join(FROM_DIST.INSTALL_K3S_DIST, "k3s"), executable, 0o755);
  }

  /** The files and links that were made or changed. */
  async changedFiles(): Promise<readonly string[]> {
    const upper = join(this.#folder, "upper");
    const find = [
      "find",
      upper,
      "(",
      "-type",
      "f",
      "-o",
      "-type",
      "l",
      ")",
      "!",
      "-path",
      `${upper}/fixture/*`,
      "-printf",
      "/%P\n",
    ];
    const { stdout } = await execute(["nsenter", "--mount", `--target=${this.#pid}`, ...find], {});
    return stdout.split("\n").filter(Boolean).sort();
  }

  /** Runs a program in the machine, on the loopback of the tests, with these variables alone. */
  async run(argv: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Result> {
    const enter = ["nsenter", "--mount", `--target=${this.#pid}`, "chroot", join(this.#folder, "root")];
    return await execute([...enter, ...argv], env);
  }

  /** As `run`, without any network of this machine: for scripts that take interfaces and rules away. */
  async runApart(argv: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<Result> {
    const enter = ["nsenter", "--mount", "--net", `--target=${this.#pid}`, "chroot", join(this.#folder, "root")];
    return await execute([...enter, ...argv], env);
  }

  /** Shows a folder of this machine under another path. */
  async bind(source: string, inside: string): Promise<void> {
    const target = join(this.#folder, "root", inside);
    await execute(["nsenter", "--mount", `--target=${this.#pid}`, "mount", "--bind", source, target], {});
  }

  /** Lays the installer down as /fixture/install.sh. */
  async provideScript(): Promise<void> {
    await this.write("/fixture/install.sh", await readFile(SCRIPT, "utf8"));
  }

  /** Runs the installer as `curl … | sh -s - ARGUMENTS` does. There is no service manager unless a test brings one. */
  async install(args: readonly string[], env: Readonly<Record<string, string>>): Promise<Result> {
    await this.provideScript();
    return await this.run([...LINE, ...args], { INSTALL_K3S_SKIP_ENABLE: "true", ...env });
  }

  /** As `install`, for a user who is not root and has sudo. */
  async installAsUser(args: readonly string[], env: Readonly<Record<string, string>>): Promise<Result> {
    await this.provideScript();
    await this.write("/fixture/bin/sudo", SUDO, 0o755);
    await this.run(["install", "-m", "4755", "/usr/bin/setpriv", "/fixture/bin/become-root"]);
    const user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    const own = { INSTALL_K3S_SKIP_ENABLE: "true", HOME: "/nonexistent", PATH: `/fixture/bin:${PATH}` };
    return await this.run([...user, ...LINE, ...args], { ...own, ...env });
  }
}

/** An executable that checks arguments with the sources of this product, and says that it is release `version`. */
export function executableOf(version: string): string {
  return [
    "#!/bin/sh",
    `if [ "$1" = --version ]; then printf 'k3s version ${version} (0123abcd)\\ngo version go1.19.8\\n'; exit; fi`,
    `exec '${process.execPath}' --no-warnings '${CLI}' "$@"`,
    "",
  ].join("\n");
}

/** An executable that takes every argument, without a look at them: for tests of something else. */
export const PLAIN_EXECUTABLE = `#!/bin/sh
case $1 in
  --version) echo "k3s version v1.30.1+k3s1 (0123abcd)" ;;
  validate) echo "Data directory: \${K3S_DATA_DIR:-/var/lib/rancher/k3s}" ;;
esac
`;

function execute(argv: readonly string[], env: Readonly<Record<string, string>>): Promise<Result> {
  const [file = "", ...args] = argv;
  return new Promise((resolve, reject) => {
    const options = { env: { PATH, ...env }, timeout: 60_000 };
    execFile(file, args, options, (error, stdout, stderr) => {
      // A program that was ended by a signal has no code.
      if (error !== null && typeof error.code !== "number") reject(new Error(`Cannot run ${file}`, { cause: error }));
      else resolve({ code: Number(error?.code ?? 0), stdout, stderr });
    });
  });
}
