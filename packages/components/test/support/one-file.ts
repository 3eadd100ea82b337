import { copyFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { appendPayload, compressBlock } from "@k3s/payload";
import type { Manifest } from "../../src/manifest.ts";

/** An executable that carries the component folder, as the build makes it. */
export async function writeOneFile(path: string, folder: string, manifest: Manifest): Promise<void> {
  await copyFile("/bin/true", path);
  const members = manifest.files.map((file) => ({ name: file.path, path: join(folder, file.path) }));
  await compressBlock(members, `${path}.block`, { level: 1, windowLog: 20 });
  const sizes = members.map(async ({ name, path: file }) => ({ name, size: (await stat(file)).size }));
  const info = { manifest, goVersion: "go1.99.1" };
  await appendPayload(path, [{ path: `${path}.block`, members: await Promise.all(sizes) }], info);
}
