import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, dirname, join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { gzipSync } from "node:zlib";
import { parseVersion, writeImageArchive } from "@k3s/components";
import { createLogger } from "@k3s/log";
import { runProgram } from "@k3s/node-runtime";
import { appendPayload } from "@k3s/payload";
import { findProgram, startRegistry } from "@k3s/testkit";
import { makeBundle, type BundleOptions } from "../src/bundle.ts";
import { makeImageArchive, type ImageArchiveOptions } from "../src/image-archive.ts";
import { ImageWorkshop } from "../src/image-workshop.ts";
import { neededImages } from "../src/needed-images.ts";

const limit = () => AbortSignal.timeout(60_000);
const ARCHITECTURE = process.arch === "x64" ? "amd64" : process.arch;
const log = createLogger({ level: "error", format: "text", write: () => undefined });

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "airgap-"));
  t.after(() => rm(path, { recursive: true, force: true }));
  return path;
}

async function programs() {
  const paths = new Map([
    ["containerd", await findProgram("containerd")],
    ["ctr", await findProgram("ctr")],
  ]);
  const path = [dirname(paths.get("ctr") ?? ""), process.env["PATH"] ?? ""].join(delimiter);
  return { set: { path: (name: string) => paths.get(name) ?? "" }, path };
}

async function archive(path: string, ...tags: readonly string[]): Promise<string> {
  const entries = [{ type: "file", path: "program", mode: 0o755, data: Buffer.from(tags.join()) }] as const;
  await writeImageArchive(path, { tags, entries, config: { entrypoint: ["/program"] } });
  return path;
}

async function options(t: TestContext, changes: Partial<ImageArchiveOptions>): Promise<ImageArchiveOptions> {
  return {
    ...(await programs()),
    ...{ references: [], from: [], output: join(await folder(t), "images.tar.zst"), architecture: ARCHITECTURE },
    ...{ offline: true, hostsDir: undefined, log, onStep: () => undefined, signal: limit() },
    ...changes,
  };
}

/** Names and digests that a fresh containerd finds in an archive. */
async function contentOf(t: TestContext, file: string): Promise<Map<string, string>> {
  const place = await folder(t);
  const { set, path } = await programs();
  await using workshop = await ImageWorkshop.open(
    { set, path, folder: place, architecture: ARCHITECTURE, log },
    limit(),
  );
  await workshop.import(file, limit());
  return new Map((await workshop.list(limit())).map(({ name, digest }) => [name, digest]));
}

describe("neededImages()", () => {
  test("names the pause image, what manifests run and what is wanted besides", () => {
    const template = (image: string) =>
      `{spec: {containers: [{image: ${image}}], initContainers: [{image: "init:2"}]}}`;
    const job = `{spec: {jobTemplate: {spec: {template: ${template("example.org/job:3")}}}}}`;
    const manifests = [
      `kind: Deployment\nspec: {template: ${template("rancher/dns:1")}}\n---\n---\nkind: List\nitems:\n- ${job}\n`,
      "kind: ConfigMap\ndata: {image: not-an-image}\n",
    ];
    assert.deepEqual(neededImages({ pauseImage: "rancher/pause:3", manifests, more: ["busybox", "init:2"] }), [
      "docker.io/library/busybox:latest",
      "docker.io/library/init:2",
      "docker.io/rancher/dns:1",
      "docker.io/rancher/pause:3",
      "example.org/job:3",
    ]);
  });

  test("needs no manifest", () => {
    const release = { pauseImage: "pause:3", manifests: [], more: [] };
    assert.deepEqual(neededImages(release), ["docker.io/library/pause:3"]);
  });
});

describe("makeImageArchive()", () => {
  for (const end of [".tar", ".tar.gz", ".tar.zst"])
    test(`puts the images of archives and of a folder of them into one ${end}`, async (t) => {
      const place = await folder(t);
      const single = await archive(join(place, "single.tar"), "example.org/one:1", "example.org/one:latest");
      await mkdir(join(place, "many"));
      const two = await readFile(await archive(join(place, "two.tar"), "example.org/two:1"));
      await writeFile(join(place, "many/two.tgz"), gzipSync(two));
      await writeFile(join(place, "many/README"), "no archive");
      const output = join(place, `out${end}`);
      const from = [single, join(place, "many")];
      const images = await makeImageArchive(await options(t, { from, output, references: ["example.org/two:1"] }));
      const names = ["example.org/one:1", "example.org/one:latest", "example.org/two:1"];
      assert.deepEqual(images.map(({ name }) => name).sort(), names);
      assert.deepEqual(await contentOf(t, output), new Map(images.map(({ name, digest }) => [name, digest])));
      assert.deepEqual((await readdir(place)).sort(), ["many", `out${end}`, "single.tar", "two.tar"].sort());
    });

  test("gets what no archive has from its registry, with the credentials of hosts.toml", async (t) => {
    const place = await folder(t);
    const authorization = `Basic ${Buffer.from("user:secret").toString("base64")}`;
    const { host, requests } = await startRegistry(t, authorization);
    await mkdir(join(place, host));
    const hosts = `server = "http://${host}"\n[host."http://${host}"]\n[host."http://${host}".header]\nauthorization = "${authorization}"\n`;
    await writeFile(join(place, host, "hosts.toml"), hosts);
    const from = [await archive(join(place, "one.tar"), "example.org/one:1")];
    const references = ["example.org/one:1", `${host}/team/app:1`];
    const output = join(place, "out.tar");
    const steps: string[] = [];
    const onStep = (step: string) => void steps.push(step);
    await makeImageArchive(await options(t, { from, references, output, offline: false, hostsDir: place, onStep }));
    assert.deepEqual([...(await contentOf(t, output)).keys()].sort(), references.sort());
    assert.ok(requests.some((request) => request.includes("/blobs/")));
    assert.deepEqual(
      steps.filter((step) => step.startsWith("get ")),
      [`get ${host}/team/app:1`],
    );
  });

  test("names the image whose registry refuses", async (t) => {
    const place = await folder(t);
    const { host } = await startRegistry(t, "nobody has this");
    const reference = `${host}/team/app:1`;
    const output = join(place, "out.tar");
    await assert.rejects(makeImageArchive(await options(t, { references: [reference], output, offline: false })), {
      code: "ERR_AIRGAP_IMAGE_UNREACHABLE",
      message: `Cannot get image "${reference}": its registry failed`,
    });
    assert.deepEqual(await readdir(place), []);
  });

  test("names every image that is missing when no registry is to be asked", async (t) => {
    const references = ["example.org/one:1", "example.org/two:1"];
    await assert.rejects(makeImageArchive(await options(t, { references })), {
      code: "ERR_AIRGAP_IMAGE_ABSENT",
      message: 'Cannot get "example.org/one:1", "example.org/two:1": no archive has them',
    });
  });

  test("says which archive is damaged, and leaves nothing behind", async (t) => {
    const place = await folder(t);
    const whole = gzipSync(await readFile(await archive(join(place, "one.tar"), "example.org/one:1")));
    await writeFile(join(place, "cut.tar.gz"), whole.subarray(0, whole.length - 20));
    const output = join(place, "out.tar");
    const given = await options(t, { from: [join(place, "cut.tar.gz")], output });
    await assert.rejects(makeImageArchive(given), { code: "ERR_IMAGE_ARCHIVE_DAMAGED", message: /cut\.tar\.gz/ });
    assert.deepEqual((await readdir(place)).sort(), ["cut.tar.gz", "one.tar"]);
  });

  test("refuses what is no archive and names that say no packing", async (t) => {
    const place = await folder(t);
    await writeFile(join(place, "notes.txt"), "");
    for (const from of [join(place, "absent.tar"), join(place, "notes.txt"), place])
      await assert.rejects(makeImageArchive(await options(t, { from: [from] })), { code: "ERR_AIRGAP_NO_ARCHIVE" });
    const output = join(place, "out.tar.bz2");
    await assert.rejects(makeImageArchive(await options(t, { output })), { code: "ERR_AIRGAP_OUTPUT" });
  });
});

describe("makeBundle()", () => {
  async function writeExecutable(path: string, architecture: string): Promise<void> {
    await writeFile(path, "program");
    const versions = { kubernetes: parseVersion("1.20.2") };
    await appendPayload(path, [], { manifest: { format: 1, architecture, versions, files: [], links: [] } });
  }

  async function bundleOptions(t: TestContext): Promise<BundleOptions & { readonly place: string }> {
    const place = await folder(t);
    const [executable, installer] = [join(place, "k3s"), join(place, "install.sh")];
    await writeExecutable(executable, ARCHITECTURE);
    await writeFile(installer, "#!/bin/sh\n");
    const from = [await archive(join(place, "one.tar"), "example.org/one:1")];
    const output = join(place, "k3s-airgap-test.tar");
    return {
      ...(await options(t, { from, output })),
      place,
      executable,
      installers: [join(place, "absent"), installer],
    };
  }

  test("writes a tar with everything, and checksums that sha256sum accepts", async (t) => {
    const { place, ...given } = await bundleOptions(t);
    await makeBundle(given);
    await runProgram(["tar", "-xf", given.output, "-C", place]);
    const inside = join(place, "k3s-airgap-test");
    const archiveName = `k3s-airgap-images-${ARCHITECTURE}.tar.zst`;
    const sums = `sha256sum-${ARCHITECTURE}.txt`;
    const names = ["README.txt", "install.sh", archiveName, "k3s", "k3s-images.txt", sums];
    assert.deepEqual((await readdir(inside)).sort(), names.sort());
    const checked = await runProgram(["sh", "-c", `cd "${inside}" && sha256sum -c --strict ${sums}`]);
    assert.equal(checked.trim().split("\n").length, names.length - 1);
    assert.equal(await readFile(join(inside, "k3s-images.txt"), "utf8"), "example.org/one:1\n");
    assert.equal((await stat(join(inside, "k3s"))).mode & 0o777, 0o755);
    assert.ok((await contentOf(t, join(inside, archiveName))).has("example.org/one:1"));
    assert.ok((await readdir(place)).every((name) => !name.startsWith(".k3s-bundle")));
  });

  test("refuses what is no executable of a release, one for another processor, and a missing installer", async (t) => {
    const { place, ...given } = await bundleOptions(t);
    const installers = [join(place, "absent")];
    const before = (await readdir(place)).sort();
    await assert.rejects(makeBundle({ ...given, installers }), { code: "ERR_AIRGAP_INSTALLER" });
    await assert.rejects(makeBundle({ ...given, output: `${given.output}.gz` }), { code: "ERR_AIRGAP_OUTPUT" });
    await writeFile(given.executable, "a program without anything inside");
    await assert.rejects(makeBundle(given), { code: "ERR_AIRGAP_EXECUTABLE" });
    await writeExecutable(given.executable, "s390x");
    await assert.rejects(makeBundle(given), { code: "ERR_AIRGAP_PROCESSOR", message: /for s390x, the images/ });
    assert.deepEqual((await readdir(place)).sort(), before);
  });
});
