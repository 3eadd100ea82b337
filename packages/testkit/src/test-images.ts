import { copyFile, mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { loadComponentSet, writeImageArchive } from "@k3s/components";

/** The product as `build` left it. */
export const DIST = join(import.meta.dirname, "../../../dist");
const COMPONENTS = join(DIST, "lib/components");

const TEST_IMAGE = "docker.io/library/busybox:local";
const APPLETS = ["sh", "cat", "httpd", "wget", "nc", "sleep", "echo", "mkdir", "hostname", "ls"];

/** Fills a folder with archives of the images that pods of tests use, the pause image among them. */
export async function writeImages(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  const set = await loadComponentSet(COMPONENTS);
  for (const archive of await readdir(set.imagesDir))
    await copyFile(join(set.imagesDir, archive), join(folder, archive));
  const data = await readFile(set.path("busybox"));
  await writeImageArchive(join(folder, "busybox.tar"), {
    tags: [TEST_IMAGE],
    entries: [
      { type: "file", path: "bin/busybox", mode: 0o755, data },
      ...APPLETS.map((name) => ({ type: "link" as const, path: `bin/${name}`, target: "busybox" })),
      { type: "directory", path: "www", mode: 0o755 },
      { type: "directory", path: "tmp", mode: 0o1777 },
    ],
    config: { command: ["/bin/sh"] },
  });
}
