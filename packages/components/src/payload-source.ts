import { createHash } from "node:crypto";
import { access, constants, open, statfs, symlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { makeDirectory } from "@k3s/files";
import { Payload, type MemberSink } from "@k3s/payload";
import type { ComponentSource, InstallTarget } from "./component-source.ts";
import { ComponentError } from "./errors.ts";
import { parseManifest, type ManifestFile } from "./manifest.ts";
import { syncFolder } from "./sync-folder.ts";

/** What has to stay free for everything else. */
const RESERVE_BYTES = 32 << 20;

/**
 * An executable that carries the components inside; `name` stands for it in messages. The `info` of its payload holds the `manifest`,
 * and the version of Go as `goVersion`.
 */
export function payloadSource(path: string, name: string): ComponentSource {
  const read = async <T>(use: (payload: Payload) => T | Promise<T>): Promise<T> => {
    await using payload = await Payload.open(path, name);
    return await use(payload);
  };
  return {
    place: name,
    folder: undefined,
    manifest: () =>
      read(({ info }) => {
        if (info["manifest"] === undefined) throw ComponentError.notInside(name);
        return parseManifest(info["manifest"], name);
      }),
    goVersion: () => read(({ info }) => (typeof info["goVersion"] === "string" ? info["goVersion"] : "unknown")),
    install: (target) => read((payload) => install(payload, target)),
  };
}

async function install(payload: Payload, { to, manifest, onProgress, signal }: InstallTarget): Promise<void> {
  const totalBytes = manifest.files.reduce((sum, file) => sum + file.size, 0);
  await assertSpace(to, totalBytes);
  const folders = new Set([...manifest.files, ...manifest.links].map((entry) => dirname(join(to, entry.path))));
  for (const folder of folders) await makeDirectory(folder, 0o755);
  const missing = new Map(manifest.files.map((file) => [file.path, file]));
  let doneBytes = 0;
  const report = (bytes: number) => onProgress?.((doneBytes += bytes), totalBytes);
  const sink: MemberSink = async (path, content) => {
    const file = missing.get(path);
    if (file !== undefined) await writeFile({ to, file, content, place: payload.path, report });
    missing.delete(path);
  };
  await payload.extract(sink, { names: new Set(missing.keys()), signal });
  if (missing.size > 0) throw ComponentError.missing([...missing.keys()], payload.path);
  for (const { path, target } of manifest.links) await symlink(target, join(to, path));
  for (const folder of folders) await syncFolder(folder);
}

interface Incoming {
  readonly to: string;
  readonly file: ManifestFile;
  readonly content: AsyncIterable<Buffer>;
  readonly place: string;
  readonly report: (bytes: number) => void;
}

async function writeFile({ to, file, content, place, report }: Incoming): Promise<void> {
  const path = join(to, file.path);
  const hash = createHash("sha256");
  await using target = await open(path, "wx", 0o600);
  for await (const chunk of content) {
    hash.update(chunk);
    await target.writeFile(chunk);
    report(chunk.length);
  }
  if (hash.digest("hex") !== file.sha256) throw ComponentError.damagedPayload(place, file.path);
  await target.chmod(file.mode);
  await target.sync();
  if ((file.mode & 0o111) !== 0) await assertExecutable(path);
}

/** A file system mounted noexec takes programs and does not run them. */
async function assertExecutable(path: string): Promise<void> {
  try {
    await access(path, constants.X_OK);
  } catch (error) {
    throw ComponentError.notExecutable(dirname(path), error);
  }
}

async function assertSpace(folder: string, bytes: number): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  const freeBytes = bavail * bsize;
  if (freeBytes < bytes + RESERVE_BYTES)
    throw ComponentError.noSpace(dirname(folder), { freeBytes, neededBytes: bytes + RESERVE_BYTES });
}
