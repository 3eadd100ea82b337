import { createHash } from "node:crypto";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createReadStream } from "node:fs";
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import type { TestNetwork } from "@k3s/testkit";

const INSTALLER = join(import.meta.dirname, "../../install.sh");
const ADDRESS = "10.99.0.30";
const NAME = "releases";

/** A machine of the network that serves releases and the installer, as a publisher would. */
export class ReleaseHost implements AsyncDisposable {
  readonly url = `http://${ADDRESS}`;
  readonly folder: string;
  readonly #undo: AsyncDisposableStack;

  private constructor(folder: string, undo: AsyncDisposableStack) {
    this.folder = folder;
    this.#undo = undo;
  }

  static async start(network: TestNetwork): Promise<ReleaseHost> {
    await using undo = new AsyncDisposableStack();
    const folder = await mkdtemp(join(tmpdir(), "k3s-releases-"));
    undo.defer(() => rm(folder, { recursive: true, force: true }));
    const namespace = await network.plug(NAME, ADDRESS);
    const argv = [process.execPath, join(import.meta.dirname, "serve-releases.ts"), folder, ADDRESS, "80"];
    const server = spawn("nsenter", [`--net=/run/netns/${namespace}`, ...argv], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const gone = once(server, "close");
    undo.defer(async () => {
      server.kill("SIGKILL");
      await gone;
    });
    if ((await Promise.race([once(server.stdout, "data"), gone.then(() => undefined)])) === undefined)
      throw new Error("Cannot serve releases: see above");
    const host = new ReleaseHost(folder, undo.move());
    await host.#publishInstaller();
    return host;
  }

  /** Makes a release of an executable, and lets the channel `stable` lead to it. */
  async publish(version: string, executable: string): Promise<void> {
    const release = join(this.folder, version);
    await mkdir(join(this.folder, "channels"), { recursive: true });
    await mkdir(release);
    await copyFile(executable, join(release, "k3s"));
    await writeFile(join(release, "sha256sum-amd64.txt"), `${await sha256(executable)}  k3s\n`);
    await writeFile(join(this.folder, "channels/stable"), `${version}\n`);
  }

  /** Lets the download of a file break after that many bytes; undefined ends that. */
  async cut(path: string, bytes: number | undefined): Promise<void> {
    const mark = join(this.folder, `${path}.cut`);
    if (bytes === undefined) await rm(mark);
    else await writeFile(mark, String(bytes));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#undo.disposeAsync();
  }

  /** The script with the address of its releases filled in, as a publisher does. */
  async #publishInstaller(): Promise<void> {
    const script = await readFile(INSTALLER, "utf8");
    const line = /^RELEASES_URL=$/m;
    if (!line.test(script)) throw new Error("Cannot publish the installer: it has no line for the address of releases");
    await writeFile(join(this.folder, "install.sh"), script.replace(line, `RELEASES_URL=${this.url}`));
  }
}

async function sha256(path: string): Promise<string> {
  const hash = createHash("sha256");
  await pipeline(createReadStream(path), hash);
  return hash.digest("hex");
}
