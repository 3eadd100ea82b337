import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { copyFile, mkdir, open, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { promisify } from "node:util";
import {
  findUnpacked,
  folderSource,
  payloadSource,
  unpackComponents,
  unpackHostTools,
  type UnpackOptions,
} from "../src/index.ts";
import { createSet } from "../src/create-set.ts";
import { manifestDigest, type Manifest } from "../src/manifest.ts";
import { writeComponentFolder } from "./support/component-folder.ts";
import { writeOneFile } from "./support/one-file.ts";
import { recordingLogger } from "./support/recording-logger.ts";
import { temporaryFolder } from "./support/temporary-folder.ts";
import { unpackOnDisk } from "./support/unpack-on-disk.ts";

const run = promisify(execFile);
const UNPACK = join(import.meta.dirname, "fixtures/unpack.ts");

interface Fixture {
  readonly folder: string;
  readonly executable: string;
  readonly manifest: Manifest;
  readonly options: UnpackOptions;
  readonly data: string;
  readonly lines: readonly string[];
}

/** An executable with fake programs inside, and a file that is large enough to be interrupted in. */
async function fixture(t: TestContext, kubernetes?: string): Promise<Fixture> {
  const folder = await temporaryFolder(t);
  const components = join(folder, "components");
  await writeComponentFolder(components, kubernetes);
  await writeFile(join(components, "images/large.tar"), Buffer.alloc(8 << 20, "an image"));
  const manifest = await createSet({ folder: components, cniVersion: "unknown", originOf: () => ({ source: "test" }) });
  const executable = join(folder, "k3s");
  await writeOneFile(executable, components, manifest);
  const { log, lines } = recordingLogger();
  const dataDir = join(folder, "data dir");
  const options = { from: payloadSource(executable, executable), dataDir, log };
  return { folder, executable, manifest, options, data: join(dataDir, "data"), lines };
}

const checkSums = (folder: string) =>
  run("sha256sum", ["--check", "--strict", "--quiet", ".sha256sums"], { cwd: join(folder, "bin") });

async function leftOver(data: string): Promise<readonly string[]> {
  return (await readdir(data)).filter((name) => name.includes("-"));
}

test("unpackHostTools() unpacks the host tools and nothing else", async (t) => {
  const { options, folder, manifest } = await fixture(t);
  const to = join(folder, "tools");
  await mkdir(to);
  const tools = await unpackHostTools(options.from, to, AbortSignal.timeout(30_000));
  assert.equal(tools, join(to, "bin/aux"));
  const wanted = [...manifest.files, ...manifest.links].flatMap(({ path }) => /^bin\/aux\/(.+)/.exec(path)?.[1] ?? []);
  assert.ok(wanted.length > 0);
  const entries = await readdir(to, { recursive: true, withFileTypes: true });
  const found = entries.filter((entry) => !entry.isDirectory()).map(({ parentPath, name }) => join(parentPath, name));
  assert.deepEqual(found.sort(), wanted.map((name) => join(tools, name)).sort());
});

describe("payloadSource()", () => {
  test("unpacks what a folder would be linked to, under the same name", async (t) => {
    const { options, manifest, data, folder } = await fixture(t);
    const set = await unpackComponents(options);
    assert.equal(set.dir, join(data, manifestDigest(manifest)));
    await checkSums(set.dir);
    assert.equal((await stat(set.path("kubelet"))).mode & 0o777, 0o755);
    assert.equal((await stat(join(set.imagesDir, "pause.tar"))).mode & 0o777, 0o644);
    assert.match((await run(set.path("iptables").replace("iptables", "aux-run"))).stdout, /^$/);
    const linked = await unpackComponents({ ...options, from: folderSource(join(folder, "components")) });
    assert.equal(linked.dir, set.dir);
  });

  test("says which Go its kube-apiserver was built with", async (t) => {
    assert.equal(await (await fixture(t)).options.from.goVersion(), "go1.99.1");
  });

  test("reports progress up to all bytes", async (t) => {
    const { options, manifest } = await fixture(t);
    const reports: (readonly [number, number])[] = [];
    await unpackComponents({ ...options, onProgress: (...report) => void reports.push(report) });
    const total = manifest.files.reduce((sum, file) => sum + file.size, 0);
    assert.deepEqual(reports.at(-1), [total, total]);
    assert.ok(reports.length > manifest.files.length);
  });

  test("is done again after a process that was killed in the middle", async (t) => {
    const { options, executable, data } = await fixture(t);
    const child = spawn(process.execPath, [UNPACK, executable, options.dataDir, "die"], { stdio: "ignore" });
    const [, signal] = (await once(child, "exit")) as [number | null, NodeJS.Signals | null];
    assert.equal(signal, "SIGKILL");
    assert.equal((await leftOver(data)).length, 1, "it has left a half unpacked folder");
    const set = await unpackComponents(options);
    await checkSums(set.dir);
    assert.deepEqual(await leftOver(data), []);
  });

  test("is done once by processes that start at the same time", async (t) => {
    const { options, executable, data } = await fixture(t);
    const start = () => run(process.execPath, [UNPACK, executable, options.dataDir]);
    const outputs = await Promise.all([start(), start(), start()]);
    assert.equal(new Set(outputs.map(({ stdout }) => stdout)).size, 1);
    await checkSums(outputs[0].stdout.trim());
    assert.deepEqual(await leftOver(data), []);
  });

  test("stops at a damaged byte and leaves nothing behind", async (t) => {
    const { options, executable, data } = await fixture(t);
    const { size } = await stat("/bin/true");
    await using file = await open(executable, "r+");
    await file.write(Buffer.from("damage"), 0, 6, size + 200);
    await assert.rejects(unpackComponents(options), { code: /PAYLOAD/, hint: /^Get the/ });
    assert.deepEqual(await readdir(data), [".lock"]);
  });

  test("does not accept a file that is not the listed one", async (t) => {
    const { options, executable, folder, manifest, data } = await fixture(t);
    const files = manifest.files.map((file) => (file.path === "bin/runc" ? { ...file, sha256: "0".repeat(64) } : file));
    await writeOneFile(executable, join(folder, "components"), { ...manifest, files });
    await assert.rejects(unpackComponents(options), { code: "ERR_COMPONENT_PAYLOAD", message: /"bin\/runc"/ });
    assert.deepEqual(await readdir(data), [".lock"]);
  });

  test("refuses a disk that is too small before it writes", async (t) => {
    const { code, message, hint, left } = await unpackOnDisk(t, (await fixture(t)).executable, "size=4m");
    assert.equal(code, "ERR_COMPONENT_SPACE");
    assert.match(message, /: [0-9]+ MiB are free, [0-9]+ MiB are needed$/);
    assert.match(hint, /^Free some space/);
    assert.deepEqual(left, [".lock"]);
  });

  test("refuses a disk from which nothing may be executed", async (t) => {
    const { code, hint, left } = await unpackOnDisk(t, (await fixture(t)).executable, "noexec");
    assert.equal(code, "ERR_COMPONENT_NOEXEC");
    assert.match(hint, /noexec/);
    assert.deepEqual(left, [".lock"]);
  });

  test("refuses a disk that cannot be written to", async (t) => {
    const { code, hint, left } = await unpackOnDisk(t, (await fixture(t)).executable, "ro");
    assert.equal(code, "ERR_COMPONENT_UNPACK");
    assert.match(hint, /^Make the data directory writable/);
    assert.deepEqual(left, []);
  });
});

describe("a tool's programs", () => {
  test("are unpacked without a change for the node", async (t) => {
    const { options, data, manifest } = await fixture(t);
    await unpackComponents({ ...options, activate: false });
    assert.deepEqual((await readdir(data)).sort(), [".lock", manifestDigest(manifest)]);
  });

  test("are one program where only that is wanted", async (t) => {
    const { options, data } = await fixture(t);
    const wanted = { ...options, activate: false, program: "kubectl" };
    const set = await unpackComponents(wanted);
    assert.deepEqual((await readdir(set.binDir)).sort(), [".links", ".sha256sums", "kubectl"]);
    assert.equal((await unpackComponents(wanted)).dir, set.dir);
    assert.equal(
      (await findUnpacked(options.from, [options.dataDir], "kubectl"))?.path("kubectl"),
      set.path("kubectl"),
    );
    assert.equal(await findUnpacked(options.from, [options.dataDir]), undefined);
    const whole = await unpackComponents(options);
    await checkSums(whole.dir);
    assert.deepEqual(await leftOver(data), []);
  });

  test("are found where they are complete", async (t) => {
    const { options, folder } = await fixture(t);
    const places = [join(folder, "absent"), options.dataDir];
    assert.equal(await findUnpacked(options.from, places), undefined);
    const set = await unpackComponents({ ...options, activate: false });
    assert.equal((await findUnpacked(options.from, places))?.dir, set.dir);
    await rm(set.path("runc"));
    assert.equal(await findUnpacked(options.from, places), undefined);
  });
});

describe("sets of earlier versions", () => {
  /** Three versions one after the other; the first has a program of its own that can run for long. */
  async function upgraded(t: TestContext, beforeThird: (first: string) => Promise<void>) {
    const first = await fixture(t, "1.30.1");
    const { dataDir } = first.options;
    const set = await unpackComponents(first.options);
    const newer = (await fixture(t, "1.30.2")).options;
    const newest = (await fixture(t, "1.30.3")).options;
    const { dir: second } = await unpackComponents({ ...newer, dataDir });
    await beforeThird(set.dir);
    const third = await unpackComponents({ ...newest, dataDir });
    return {
      ...first,
      first: set.dir,
      second,
      third: third.dir,
      again: () => unpackComponents({ ...newest, dataDir }),
    };
  }

  const sets = async (data: string) => (await readdir(data)).filter((name) => /^[0-9a-f]{64}/.test(name)).sort();
  const names = (...folders: readonly string[]) => folders.map((folder) => folder.split("/").at(-1) ?? "").sort();

  test("are removed when nothing runs from them, but for the one before", async (t) => {
    const { data, second, third } = await upgraded(t, () => Promise.resolve());
    assert.deepEqual(await sets(data), names(second, third));
  });

  test("stay for as long as one of their programs runs", async (t) => {
    let stop = () => Promise.resolve();
    const { data, first, second, third, again } = await upgraded(t, async (folder) => {
      const program = join(folder, "bin/runs-on");
      await copyFile("/bin/sleep", program);
      const child = spawn(program, ["1000"]);
      t.after(() => child.kill("SIGKILL"));
      await once(child, "spawn");
      stop = async () => {
        const gone = once(child, "exit");
        child.kill("SIGKILL");
        await gone;
      };
    });
    assert.deepEqual(await sets(data), names(first, second, third));
    await stop();
    await again();
    assert.deepEqual(await sets(data), names(second, third));
  });

  test("that were left half made are removed, and files of others are not", async (t) => {
    const { options, data } = await fixture(t);
    const ruins = ["tmp", "damaged-17"].map((suffix) => `${"a".repeat(64)}-${suffix}`);
    for (const name of [...ruins, "mine"]) await mkdir(join(data, name, "bin"), { recursive: true });
    await unpackComponents(options);
    assert.deepEqual(
      (await readdir(data)).filter((name) => name.includes("-") || name === "mine"),
      ["mine"],
    );
    assert.match(await readFile(join(data, "current/bin/kubelet"), "utf8"), /1\.30\.14/);
  });
});
