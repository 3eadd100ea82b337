import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { access, chmod, copyFile, mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { payloadSource } from "@k3s/components";
import { runProgram } from "@k3s/node-runtime";
import { AirgapError } from "./errors.ts";
import { makeImageArchive, type ImageArchiveOptions } from "./image-archive.ts";

export interface BundleOptions extends Omit<ImageArchiveOptions, "output"> {
  /** The tar to write; the folder in it has its name without the end. */
  readonly output: string;
  /** The executable of a release, with its programs inside, for the same processor as the images. */
  readonly executable: string;
  /** Places of `install.sh`; the first that is there is taken. */
  readonly installers: readonly string[];
}

/** Writes one file with everything that a machine without internet needs. Rejects with AirgapError or NodeRuntimeError. */
export async function makeBundle(options: BundleOptions): Promise<void> {
  const { output, executable, architecture, path, signal, onStep } = options;
  if (!output.endsWith(".tar"))
    throw AirgapError.output(output, "a bundle is a plain tar, since what is in it is packed");
  const installer = await findInstaller(options.installers);
  await assertExecutable(executable, architecture);
  const staging = await mkdtemp(join(dirname(output), ".k3s-bundle-"));
  try {
    const name = basename(output, ".tar");
    const folder = join(staging, name);
    await mkdir(folder);
    const images = await makeImageArchive({
      ...options,
      output: join(folder, `k3s-airgap-images-${architecture}.tar.zst`),
    });
    const list = images.map((image) => `${image.name}\n`).filter((line) => !line.includes("@"));
    await writeFile(join(folder, "k3s-images.txt"), list.sort().join(""));
    for (const [from, to] of [
      [executable, "k3s"],
      [installer, "install.sh"],
    ] as const) {
      await copyFile(from, join(folder, to));
      await chmod(join(folder, to), 0o755);
    }
    await writeFile(join(folder, "README.txt"), instructions(architecture));
    await writeChecksums(folder, architecture);
    onStep(`write ${output}`);
    const tar = join(staging, "bundle.tar");
    await runProgram(["tar", "-cf", tar, "-C", staging, name], { path, signal });
    await rename(tar, output);
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

async function findInstaller(places: readonly string[]): Promise<string> {
  for (const place of places) if (await isThere(place)) return place;
  throw AirgapError.noInstaller(places);
}

/** A machine without internet cannot get what is missing inside. */
async function assertExecutable(path: string, architecture: string): Promise<void> {
  const manifest = await payloadSource(path, path)
    .manifest()
    .catch((error: unknown) => {
      throw AirgapError.executable(path, error);
    });
  if (manifest.architecture !== architecture)
    throw AirgapError.otherProcessor(path, { executable: manifest.architecture, images: architecture });
}

/** As `sha256sum` writes and checks them, under the name that releases of k3s use. */
async function writeChecksums(folder: string, architecture: string): Promise<void> {
  const names = [`k3s-airgap-images-${architecture}.tar.zst`, "k3s-images.txt", "k3s", "install.sh", "README.txt"];
  const lines: string[] = [];
  for (const name of names) {
    const hash = createHash("sha256");
    await pipeline(createReadStream(join(folder, name)), hash);
    lines.push(`${hash.digest("hex")}  ${name}\n`);
  }
  await writeFile(join(folder, `sha256sum-${architecture}.txt`), lines.join(""));
}

function instructions(architecture: string): string {
  return `k3s for a machine without internet. As root, in this folder:

  sha256sum -c sha256sum-${architecture}.txt
  mkdir -p /usr/local/bin /var/lib/rancher/k3s/agent/images
  install -m 755 k3s /usr/local/bin/k3s
  cp k3s-airgap-images-${architecture}.tar.zst /var/lib/rancher/k3s/agent/images/
  INSTALL_K3S_SKIP_DOWNLOAD=true sh install.sh

For an agent add K3S_URL and K3S_TOKEN to the last line. "k3s check-config" says what the machine lacks.
The machine needs an address and a default route, or --node-ip. k3s-images.txt lists the images.
`;
}

async function isThere(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}
