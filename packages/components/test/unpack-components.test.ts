import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import {
  appendFile,
  chmod,
  cp,
  lstat,
  mkdir,
  readdir,
  readFile,
  readlink,
  rm,
  stat,
  symlink,
  truncate,
  unlink,
  writeFile,
} from "node:fs/promises";
import { basename, join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { promisify } from "node:util";
import { acquireLock } from "@k3s/files";
import { folderSource, unpackComponents, type UnpackOptions } from "../src/index.ts";
import { manifestDigest, type Manifest } from "../src/manifest.ts";
import { writeComponentFolder } from "./support/component-folder.ts";
import { recordingLogger } from "./support/recording-logger.ts";
import { temporaryFolder } from "./support/temporary-folder.ts";
import { unpackOnDisk } from "./support/unpack-on-disk.ts";

const run = promisify(execFile);

interface Fixture {
  readonly options: UnpackOptions;
  readonly manifest: Manifest;
  readonly from: string;
  readonly data: string;
  /** Where the programs belong. */
  readonly final: string;
  readonly lines: readonly string[];
}

async function fixture(t: TestContext, kubernetes?: string): Promise<Fixture> {
  const folder = await temporaryFolder(t);
  const from = join(folder, "components");
  const manifest = await writeComponentFolder(from, kubernetes);
  const dataDir = join(folder, "k3s");
  const { log, lines } = recordingLogger();
  const data = join(dataDir, "data");
  return {
    options: { from: folderSource(from), dataDir, log },
    manifest,
    from,
    data,
    final: join(data, manifestDigest(manifest)),
    lines,
  };
}

const inode = async (path: string) => (await stat(path)).ino;

describe("unpackComponents()", () => {
  test("lays the programs out as the original does and returns where they are", async (t) => {
    const { options, data, final } = await fixture(t);
    const set = await unpackComponents(options);
    assert.equal(set.dir, final);
    assert.match(basename(set.dir), /^[0-9a-f]{64}$/);
    assert.equal(set.path("kubelet"), join(final, "bin/kubelet"));
    assert.equal(set.path("iptables"), join(final, "bin/aux/iptables"));
    assert.equal(set.has("crictl"), true);
    assert.equal(set.has("nothing"), false);
    assert.throws(() => set.path("nothing"), { code: "ERR_COMPONENT_MISSING" });
    assert.equal(set.versions.kubernetes.minor, 30);
    assert.equal(set.cniBinDir, join(data, "cni"));
    assert.equal(await readFile(join(set.imagesDir, "pause.tar"), "utf8"), "an image");
    assert.equal(await readlink(join(data, "current")), final);
    assert.equal(await readlink(join(final, "bin/aux/iptables")), "aux-run");
    assert.deepEqual((await run(join(data, "cni/bridge"))).stderr, "CNI bridge plugin v1.8.0\n");
    await run("sha256sum", ["--check", "--strict", "--quiet", ".sha256sums"], { cwd: set.binDir });
    assert.match(await readFile(join(set.binDir, ".links"), "utf8"), /^aux\/iptables aux-run\n$/);
  });

  test("uses hard links on the same file system", async (t) => {
    const { options, from, final } = await fixture(t);
    await unpackComponents(options);
    assert.equal(await inode(join(final, "bin/kubelet")), await inode(join(from, "bin/kubelet")));
  });

  test("copies with mode and time to another file system", async (t) => {
    const { options, from, manifest } = await fixture(t);
    const { dev } = await stat(from);
    const dataDir = join("/dev/shm", `k3s-unpack-${process.pid}`);
    t.after(() => rm(dataDir, { recursive: true, force: true }));
    await mkdir(dataDir);
    assert.notEqual((await stat(dataDir)).dev, dev, "needs a second file system");
    const set = await unpackComponents({ ...options, dataDir });
    const copy = await stat(set.path("kubelet"));
    const original = manifest.files.find((file) => file.path === "bin/kubelet");
    assert.equal(copy.mode & 0o777, 0o755);
    assert.ok(Math.abs(copy.mtimeMs - (original?.mtimeMs ?? 0)) < 1);
    await run("sha256sum", ["--check", "--strict", "--quiet", ".sha256sums"], { cwd: set.binDir });
    await unpackComponents({ ...options, dataDir });
    assert.equal((await stat(set.path("kubelet"))).ino, copy.ino);
  });

  test("does nothing the second time, in less than 100 ms", async (t) => {
    const { options, final, lines } = await fixture(t);
    await unpackComponents(options);
    const before = { folder: await inode(final), lines: lines.length };
    const durations: number[] = [];
    for (let i = 0; i < 5; i++) {
      const startedAt = performance.now();
      await unpackComponents(options);
      durations.push(performance.now() - startedAt);
    }
    assert.ok(Math.min(...durations) < 100, durations.join(", ")); // the others may have waited for the processor
    assert.deepEqual({ folder: await inode(final), lines: lines.length }, before);
  });

  test("reports bytes until all are copied, and nothing of hard links", async (t) => {
    const { options, manifest } = await fixture(t);
    const reports: (readonly [number, number])[] = [];
    const onProgress = (done: number, total: number) => void reports.push([done, total]);
    const linked = { ...options, dataDir: join(options.dataDir, "linked") };
    await unpackComponents({ ...linked, onProgress });
    assert.equal(reports.length, 0);
    // A file with another mode cannot be shared.
    for (const file of manifest.files) await chmod(join(options.from.place, file.path), 0o700);
    await unpackComponents({ ...options, onProgress });
    const total = manifest.files.reduce((sum, file) => sum + file.size, 0);
    assert.deepEqual(reports.at(-1), [total, total]);
    assert.equal(reports.length, manifest.files.length);
  });

  test("unpacks once when several processes start together", async (t) => {
    const { options, data, final, lines } = await fixture(t);
    await mkdir(data, { recursive: true });
    const lock = await acquireLock(join(data, ".lock"));
    const unpacking = Array.from({ length: 5 }, () => unpackComponents(options));
    const waiting = () => lines.filter((line) => line.includes("waiting for another process")).length;
    await t.waitFor(() => assert.equal(waiting(), unpacking.length), { timeout: 30_000 }).finally(() => lock.release());
    const sets = await Promise.all(unpacking);
    assert.deepEqual(new Set(sets.map((set) => set.dir)), new Set([final]));
    await run("sha256sum", ["--check", "--quiet", ".sha256sums"], { cwd: join(final, "bin") });
  });

  test("waits for the lock no longer than its signal allows", async (t) => {
    const { options, data } = await fixture(t);
    await mkdir(data, { recursive: true });
    await using _lock = await acquireLock(join(data, ".lock"));
    const stop = new AbortController();
    const unpacking = unpackComponents({ ...options, signal: stop.signal });
    stop.abort(new Error("stopped by the test"));
    await assert.rejects(unpacking, /stopped by the test/);
    assert.deepEqual(await readdir(data), [".lock"]);
  });

  test("starts over after an interrupted run", async (t) => {
    const { options, final, data } = await fixture(t);
    await mkdir(join(`${final}-tmp`, "bin"), { recursive: true });
    await writeFile(join(`${final}-tmp`, "bin/kubelet"), "half a file");
    const set = await unpackComponents(options);
    assert.match(await readFile(set.path("kubelet"), "utf8"), /Kubernetes v1\.30\.14/);
    assert.deepEqual(
      (await readdir(data)).filter((name) => name.includes("-tmp")),
      [],
    );
  });

  const damages: readonly { readonly what: string; readonly damage: (final: string) => Promise<void> }[] = [
    { what: "a file is missing", damage: (final) => unlink(join(final, "bin/runc")) },
    { what: "a file was cut", damage: (final) => truncateCopy(join(final, "bin/runc")) },
    { what: "a link is missing", damage: (final) => unlink(join(final, "bin/aux/iptables")) },
    { what: "the record is missing", damage: (final) => unlink(join(final, ".unpacked.json")) },
    { what: "the record is no JSON", damage: (final) => writeFile(join(final, ".unpacked.json"), "{") },
  ];
  for (const { what, damage } of damages) {
    test(`makes the folder again when ${what}`, async (t) => {
      const { options, final } = await fixture(t);
      await unpackComponents(options);
      await damage(final);
      await unpackComponents(options);
      await run("sha256sum", ["--check", "--quiet", ".sha256sums"], { cwd: join(final, "bin") });
      assert.equal(await readlink(join(final, "bin/aux/iptables")), "aux-run");
    });
  }

  test("keeps a file with a wrong checksum aside and leaves nothing half done", async (t) => {
    const { options, from, data } = await fixture(t);
    await appendFile(join(from, "bin/kubelet"), "# changed\n");
    await assert.rejects(unpackComponents(options), {
      code: "ERR_COMPONENT_CHECKSUM",
      message: /bin\/kubelet": its checksum is not the recorded one, kept as ".*kubelet\.bad-[^"]+"/,
    });
    const kept = (await readdir(join(from, "bin"))).filter((name) => name.startsWith("kubelet"));
    assert.equal(kept.length, 1);
    assert.match(kept[0] ?? "", /^kubelet\.bad-\d{4}-/);
    assert.deepEqual(await readdir(data), [".lock"]);
    await assert.rejects(unpackComponents(options), { code: "ERR_COMPONENT_MISSING", message: /bin\/kubelet/ });
  });

  test("keeps a bad file aside also when it has to copy", async (t) => {
    const { options, from } = await fixture(t);
    const dataDir = join("/dev/shm", `k3s-unpack-bad-${process.pid}`);
    t.after(() => rm(dataDir, { recursive: true, force: true }));
    await appendFile(join(from, "bin/kubelet"), "# changed\n");
    await assert.rejects(unpackComponents({ ...options, dataDir }), { code: "ERR_COMPONENT_CHECKSUM" });
    assert.deepEqual(await readdir(join(dataDir, "data")), [".lock"]);
    assert.ok((await readdir(join(from, "bin"))).some((name) => name.startsWith("kubelet.bad-")));
  });

  test("accepts a folder that was copied without its times", async (t) => {
    const { options, from } = await fixture(t);
    const moved = `${from}-moved`;
    await cp(from, moved, { recursive: true, verbatimSymlinks: true });
    const set = await unpackComponents({ ...options, from: folderSource(moved) });
    assert.match(await readFile(set.path("kubelet"), "utf8"), /1\.30\.14/);
  });

  test("gives files their recorded mode whatever the folder's is", async (t) => {
    const { options, from } = await fixture(t);
    await chmod(join(from, "bin/kubelet"), 0o600);
    const set = await unpackComponents(options);
    assert.equal((await stat(set.path("kubelet"))).mode & 0o777, 0o755);
  });

  test("points at the newer version after an upgrade and remembers the one before", async (t) => {
    const { options, final, data } = await fixture(t, "1.30.14");
    await unpackComponents(options);
    const newer = join(options.from.place, "../newer");
    await writeComponentFolder(newer, "1.31.0");
    const set = await unpackComponents({ ...options, from: folderSource(newer) });
    assert.equal(await readlink(join(data, "current")), set.dir);
    assert.equal(await readlink(join(data, "previous")), final);
    assert.ok((await readlink(join(data, "cni/bridge"))).includes(basename(set.dir)));
  });

  test("accepts a data directory that a newer patch version of the same minor wrote", async (t) => {
    const { options } = await fixture(t, "1.30.14");
    await unpackComponents(options);
    const older = join(options.from.place, "../older");
    await writeComponentFolder(older, "1.30.1");
    assert.equal((await unpackComponents({ ...options, from: folderSource(older) })).versions.kubernetes.patch, 1);
  });

  test("keeps plugins that a user put into the stable folder, and drops links of ours that lead nowhere", async (t) => {
    const { options, data } = await fixture(t);
    await mkdir(join(data, "cni"), { recursive: true });
    await writeFile(join(data, "cni/custom"), "mine");
    await writeFile(join(data, "cni/portmap"), "mine too");
    await symlink(`../${"0".repeat(64)}/bin/cni/gone`, join(data, "cni/gone"));
    await symlink("/opt/cni/other", join(data, "cni/other"));
    await unpackComponents(options);
    assert.deepEqual((await readdir(join(data, "cni"))).sort(), [
      "bridge",
      "custom",
      "host-local",
      "loopback",
      "other",
      "portmap",
    ]);
    assert.equal(await readFile(join(data, "cni/portmap"), "utf8"), "mine too");
    assert.equal((await lstat(join(data, "cni/bridge"))).isSymbolicLink(), true);
  });
});

/** Replaces the file (a hard link of the source's) by a shorter one. */
async function truncateCopy(path: string): Promise<void> {
  const content = await readFile(path);
  await unlink(path);
  await writeFile(path, content, { mode: 0o755 });
  await truncate(path, 5);
}

describe("unpackComponents() refuses", () => {
  test("a folder without a list", async (t) => {
    const { options, from } = await fixture(t);
    await rm(join(from, "components.json"));
    const expected = {
      code: "ERR_COMPONENT_MISSING",
      message: `Cannot use components of "${from}": missing components.json`,
    };
    await assert.rejects(unpackComponents(options), expected);
  });

  for (const { what, text } of [
    { what: "no JSON", text: "{" },
    { what: "another format", text: '{ "format": 2 }' },
  ]) {
    test(`a list that is ${what}`, async (t) => {
      const { options, from } = await fixture(t);
      await writeFile(join(from, "components.json"), text);
      await assert.rejects(unpackComponents(options), { code: "ERR_COMPONENT_MANIFEST" });
    });
  }

  test("a list whose paths leave the folder", async (t) => {
    const { options, from, manifest, data } = await fixture(t);
    const files = [...manifest.files, { ...manifest.files[0], path: "../outside" }];
    await writeFile(join(from, "components.json"), JSON.stringify({ ...manifest, files }));
    await assert.rejects(unpackComponents(options), {
      code: "ERR_COMPONENT_MANIFEST",
      message: /"\.\.\/outside" leaves/,
    });
    await assert.rejects(stat(data), { code: "ENOENT" });
  });

  test("programs of another architecture", async (t) => {
    const { options, from, manifest } = await fixture(t);
    const architecture = manifest.architecture === "amd64" ? "arm64" : "amd64";
    await writeFile(join(from, "components.json"), JSON.stringify({ ...manifest, architecture }));
    await assert.rejects(unpackComponents(options), { code: "ERR_COMPONENT_ARCHITECTURE" });
  });

  test("a data directory that a newer minor version wrote", async (t) => {
    const { options } = await fixture(t, "1.31.0");
    await unpackComponents(options);
    const older = join(options.from.place, "../older");
    await writeComponentFolder(older, "1.30.14");
    const message = `Cannot use data directory "${options.dataDir}": written by Kubernetes 1.31.0, this is 1.30.14`;
    await assert.rejects(unpackComponents({ ...options, from: folderSource(older) }), {
      code: "ERR_DATA_DIR_NEWER",
      message,
    });
  });

  test("a data directory whose programs are of another architecture", async (t) => {
    const { options, data } = await fixture(t);
    const header = Buffer.alloc(64);
    header.write("\x7fELF", 0, "latin1");
    header.writeUInt16LE(process.arch === "x64" ? 183 : 62, 18); // e_machine
    await mkdir(join(data, "current/bin"), { recursive: true });
    await writeFile(join(data, "current/bin/k3s"), header);
    await assert.rejects(unpackComponents(options), { code: "ERR_COMPONENT_ARCHITECTURE", message: /this machine is/ });
  });

  test("a data directory that is a file, with a cure", async (t) => {
    const { options } = await fixture(t);
    await writeFile(options.dataDir, "");
    await assert.rejects(unpackComponents(options), {
      code: "ERR_COMPONENT_UNPACK",
      hint: /choose another --data-dir/,
    });
  });

  test("a full disk, and gives back what it took", async (t) => {
    const { code, message, hint, left } = await unpackOnDisk(t, (await fixture(t)).from, "size=24k");
    assert.equal(code, "ERR_COMPONENT_UNPACK");
    assert.match(message, /ENOSPC/);
    assert.match(hint, /Free some space/);
    assert.deepEqual(left, [".lock"]);
  });
});
