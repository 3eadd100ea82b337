import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdir, mkdtemp, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { Latest } from "@k3s/async";
import { parseVersion, writeImageArchive, type ComponentSet, type Version } from "@k3s/components";
import { createLogger } from "@k3s/log";
import { findProgram, startRegistry } from "@k3s/testkit";
import { containerd } from "../src/containerd.ts";
import { ImageImport } from "../src/image-import.ts";
import { ImageStore } from "../src/image-store.ts";
import { nodePaths, type NodeRuntimeOptions } from "../src/node-runtime-options.ts";
import { runProgram } from "../src/run-program.ts";
import { fullOptions, goodSettings } from "./node-options.ts";

const PAUSE = "docker.io/rancher/mirrored-pause:3.10.2";
const limit = () => AbortSignal.timeout(60_000);

async function programs(imagesDir: string): Promise<ComponentSet> {
  const names = ["containerd", "ctr"];
  const paths = new Map<string, string>();
  for (const name of names) paths.set(name, await findProgram(name));
  const file = paths.get("containerd") ?? "";
  const text = / v?(\d[\w.~+-]*)/.exec(await runProgram([file, "--version"]))?.[1] ?? "";
  const version: Version = parseVersion(text) ?? { major: 0, minor: 0, patch: 0, text };
  const binDir = dirname(file);
  return {
    ...{ dir: binDir, binDir, cniBinDir: join(binDir, "cni"), imagesDir },
    versions: { kubernetes: version, containerd: version, runc: version, cni: version },
    has: (name) => paths.has(name),
    path: (name) => paths.get(name) ?? "",
  };
}

/** A running containerd in a folder of its own, with what is logged. */
async function node(t: TestContext) {
  const folder = await mkdtemp(join(tmpdir(), "containerd-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const lines = new Latest<readonly string[]>([]);
  const log = createLogger({ level: "info", format: "json", write: (line) => lines.set([...lines.get(), line]) });
  const set = await programs(join(folder, "images"));
  const options: NodeRuntimeOptions = {
    ...fullOptions(),
    ...{ set, log, env: {}, debug: false, settings: { ...goodSettings, snapshotter: "native" } },
    path: [set.binDir, process.env["PATH"] ?? ""].join(delimiter),
    agentDirectory: join(folder, "agent"),
    stateDirectory: join(folder, "run"),
    imageCredentialProvider: { binDirectory: "/nowhere", configFile: "/nowhere" },
  };
  const paths = nodePaths(options);
  await anyStreamPort(paths.containerdEtc);
  await mkdir(paths.images, { recursive: true });
  await mkdir(set.imagesDir);
  const child = containerd(options);
  t.after(() => child.stop(limit()));
  await child.start({ signal: limit(), lost: (error) => assert.ifError(error) });
  const store = new ImageStore({ ctr: set.path("ctr"), socket: paths.containerdSocket, snapshotter: "native" });
  return { folder, options, paths, child, store, lines };
}

/** A node of its own may run on this machine: leave it the fixed port of the streaming server. */
async function anyStreamPort(etc: string): Promise<void> {
  for (const [name, version] of [
    ["config.toml.d", 2],
    ["config-v3.toml.d", 3],
  ] as const) {
    await mkdir(join(etc, name), { recursive: true });
    const cri = `[plugins."io.containerd.grpc.v1.cri"]\nstream_server_address = "127.0.0.1"\nstream_server_port = "0"\n`;
    // containerd makes the folder it looks in; without this it would be one of the machine.
    const cni = `[plugins."io.containerd.grpc.v1.cri".cni]\nconf_dir = "${join(etc, "cni")}"\n`;
    await writeFile(join(etc, name, "port.toml"), `version = ${version}\n${cri}${cni}`);
  }
}

async function startImport(t: TestContext, options: NodeRuntimeOptions): Promise<ImageImport> {
  const component = new ImageImport(options);
  t.after(() => component.stop());
  await component.prepare();
  await component.start({ signal: limit(), lost: (error) => assert.ifError(error) });
  return component;
}

async function archive(path: string, tag: string): Promise<void> {
  const entries = [{ type: "file", path: "pause", mode: 0o755, data: Buffer.from(tag) }] as const;
  await writeImageArchive(path, { tags: [tag], entries, config: { entrypoint: ["/pause"] } });
}

describe("containerd", () => {
  test("is ready when CRI answers, and comes back after it was killed", async (t) => {
    const { child, paths, store } = await node(t);
    assert.deepEqual(await store.list(limit()), []);
    const { pid } = child.state.get();
    assert.ok(pid !== undefined);
    process.kill(pid, "SIGKILL");
    await child.state.until(({ phase, restarts }) => phase === "ready" && restarts === 1, limit());
    assert.deepEqual(await store.list(limit()), []);
    assert.match(await readFile(paths.crictlConfig, "utf8"), /^runtime-endpoint: unix:\/\/.*containerd\.sock\n$/);
    assert.match(await readFile(paths.containerdLog, "utf8"), /starting containerd/);
  });

  test("has all it says in its file, and what it warns of in the log as well", async (t) => {
    const { paths, lines } = await node(t);
    // There is no network yet: every version of containerd says so while it starts.
    const said = (all: readonly string[]) => all.filter((line) => line.includes('"stream":"stderr"'));
    const isComplaint = (line: string) => line.includes("cni config load failed");
    await lines.until((all) => said(all).some(isComplaint), limit());
    for (const line of said(lines.get())) assert.match(line, /"level":"(?:warn|error)".*"child":"containerd"/);
    assert.match(await readFile(paths.containerdLog, "utf8"), /level=info.*\n[^]*cni config load failed/);
  });
});

describe("ImageImport", () => {
  test("brings in and pins the images of the set and of the user's folder, and says which archive is broken", async (t) => {
    const { options, paths, store, lines } = await node(t);
    await archive(join(options.set.imagesDir, "pause.tar"), PAUSE);
    await archive(join(paths.images, "plain.tar"), "example.org/one:1");
    await writeFile(join(paths.images, "packed.tar.gz"), gzipSync(await readFile(join(paths.images, "plain.tar"))));
    await writeFile(join(paths.images, "broken.tar"), "no archive");
    await startImport(t, options);

    const images = await store.list(limit());
    const pause = images.find(({ name }) => name === PAUSE);
    assert.ok(pause !== undefined);
    assert.ok(images.some(({ name }) => name === `docker.io/rancher/mirrored-pause@${pause.digest}`));
    const pinned = await store.pinned(limit());
    assert.ok(pinned.includes(PAUSE));
    assert.ok(pinned.includes("example.org/one:1"));
    const errors = lines.get().filter((line) => line.includes("could not be imported"));
    assert.equal(errors.length, 1);
    assert.match(errors[0] ?? "", /broken\.tar/);
  });

  test("unpins what is not in any archive any more", async (t) => {
    const { options, paths, store } = await node(t);
    const file = join(paths.images, "gone.tar");
    await archive(file, "example.org/gone:1");
    const first = await startImport(t, options);
    await first.stop();
    assert.ok((await store.pinned(limit())).includes("example.org/gone:1"));
    await rm(file);
    await startImport(t, options);
    assert.deepEqual(await store.pinned(limit()), []);
    assert.ok((await store.list(limit())).some(({ name }) => name === "example.org/gone:1"));
  });

  test("remembers an archive across starts until it changes", async (t) => {
    const { options, paths, lines, store } = await node(t);
    const imports = () => lines.get().filter((line) => line.includes('"image archive imported"')).length;
    const file = join(paths.images, "one.tar");
    await archive(file, "example.org/one:1");
    await (await startImport(t, options)).stop();
    assert.equal(imports(), 1);
    assert.ok((await readFile(join(paths.images, ".cache.json"), "utf8")).includes("example.org/one:1"));
    await (await startImport(t, options)).stop();
    assert.equal(imports(), 1);
    assert.ok((await store.pinned(limit())).includes("example.org/one:1"));
    // Another content of the same size and time.
    const before = await stat(file);
    await archive(file, "example.org/two:1");
    await utimes(file, before.atime, before.mtime);
    assert.equal((await stat(file)).size, before.size);
    await (await startImport(t, options)).stop();
    assert.equal(imports(), 2);
    assert.ok((await store.pinned(limit())).includes("example.org/two:1"));
  });

  test("imports a remembered archive again when its images are gone", async (t) => {
    const { options, paths, lines, store } = await node(t);
    await archive(join(paths.images, "one.tar"), "example.org/one:1");
    await (await startImport(t, options)).stop();
    const { containerdSocket } = paths;
    const ctr = [options.set.path("ctr"), "-a", containerdSocket, "-n", "k8s.io"] as const;
    await runProgram([...ctr, "images", "rm", "example.org/one:1"], {});
    await (await startImport(t, options)).stop();
    assert.equal(lines.get().filter((line) => line.includes('"image archive imported"')).length, 2);
    assert.ok((await store.list(limit())).some(({ name }) => name === "example.org/one:1"));
  });

  test("imports many archives at once, the same images among them, in every packing", async (t) => {
    const { options, paths, store, lines } = await node(t);
    const plain = join(paths.images, "image-0.tar");
    await archive(plain, "example.org/image-0:1");
    const content = await readFile(plain);
    await writeFile(join(paths.images, "again.tar.gz"), gzipSync(content));
    await writeFile(join(paths.images, "again.tar.zst"), zstdCompressSync(content));
    for (let n = 1; n < 8; n++) await archive(join(paths.images, `image-${n}.tar`), `example.org/image-${n}:1`);
    await startImport(t, options);
    const pinned = await store.pinned(limit());
    for (let n = 0; n < 8; n++) assert.ok(pinned.includes(`example.org/image-${n}:1`));
    const outcome = lines.get().find((line) => line.includes("gone through"));
    const failed = lines.get().filter((line) => line.includes("could not be imported"));
    assert.match(outcome ?? "", /"imported":10,"unchanged":0,"failed":0/, failed.join(""));
  });

  test("names each archive that was cut off or damaged, and imports the others", async (t) => {
    const { folder, options, paths, store, lines } = await node(t);
    await archive(join(folder, "whole.tar"), "example.org/whole:1");
    const content = await readFile(join(folder, "whole.tar"));
    const noise = { type: "file", path: "noise", mode: 0o644, data: randomBytes(100_000) } as const;
    await writeImageArchive(join(folder, "large.tar"), { tags: ["example.org/large:1"], entries: [noise], config: {} });
    const large = await readFile(join(folder, "large.tar"));
    const cut = (data: Buffer) => data.subarray(0, data.length - 50_000);
    const flipped = gzipSync(large);
    flipped.fill(0, 40_000, 40_100);
    const broken = {
      "cut.tar": cut(large),
      "cut.tar.gz": cut(gzipSync(large)),
      "cut.tar.zst": cut(zstdCompressSync(large)),
    };
    for (const [name, data] of Object.entries({ ...broken, "flipped.tgz": flipped, "whole.tar": content }))
      await writeFile(join(paths.images, name), data);
    await startImport(t, options);
    assert.ok((await store.pinned(limit())).includes("example.org/whole:1"), lines.get().join(""));
    const errors = lines.get().filter((line) => line.includes("could not be imported"));
    for (const [name, code] of [
      ["cut.tar", "ERR_IMAGE_IMPORT"],
      ["cut.tar.gz", "ERR_IMAGE_ARCHIVE_DAMAGED"],
      ["cut.tar.zst", "ERR_IMAGE_ARCHIVE_DAMAGED"],
      ["flipped.tgz", "ERR_IMAGE_ARCHIVE_DAMAGED"],
    ] as const)
      assert.ok(
        errors.some((line) => line.includes(`${name}"`) && line.includes(code)),
        `${name}: ${errors.join("\n")}`,
      );
    assert.equal(errors.length, 4);
  });

  test("imports an archive that is put into the folder later", async (t) => {
    const { folder, options, paths, store, lines } = await node(t);
    await startImport(t, options);
    await archive(join(folder, "late.tar"), "example.org/late:1");
    await rename(join(folder, "late.tar"), join(paths.images, "late.tar"));
    await lines.until((all) => all.some((line) => line.includes("late.tar")), limit());
    assert.ok((await store.pinned(limit())).includes("example.org/late:1"));
  });

  test("pulls and pins what lists name, and keeps it when the registry is gone", async (t) => {
    const { options, paths, store, lines } = await node(t);
    const { host, close } = await startRegistry(t);
    const image = `${host}/team/app:1`;
    const isThere = (all: readonly string[]) => all.filter((line) => line.includes('"images of the list are there"'));
    await writeFile(join(paths.images, "app.txt"), `${image}\n`);
    await writeFile(join(paths.images, "more.txt"), `${host}/team/none:1\n`);
    const first = await startImport(t, options);
    await lines.until((all) => isThere(all).length === 1, limit());
    const has = (name: string) =>
      lines.get().filter((line) => line.includes(name) && line.includes("ERR_IMAGE_UNKNOWN"));
    await lines.until(() => has(`${host}/team/none:1`).length === 1, limit());
    await first.stop();
    const pinned = await store.pinned(limit());
    const digest = (await store.list(limit())).find(({ name }) => name === image)?.digest ?? "";
    for (const name of [image, `${host}/team/app@${digest}`]) assert.ok(pinned.includes(name), pinned.join());

    close();
    await rm(join(paths.images, "more.txt"));
    await startImport(t, options);
    await lines.until((all) => isThere(all).length === 2, limit());
    assert.deepEqual((await store.pinned(limit())).sort(), [...pinned].sort());
  });
});
