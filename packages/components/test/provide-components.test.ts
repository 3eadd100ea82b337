import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { appendFile, mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { promisify } from "node:util";
import { provideComponents, type ProgressEvent, type ProvideOptions, type SourceContext } from "../src/index.ts";
import { findDebianSuite } from "../src/debian-suite.ts";
import { findRelease, upstreamFiles } from "../src/releases.ts";
import { fakePrograms, writePrograms } from "./support/fake-programs.ts";
import { ReleaseServer, sha256 } from "./support/release-server.ts";
import { temporaryFolder } from "./support/temporary-folder.ts";

const run = promisify(execFile);

interface Fixture {
  readonly folder: string;
  readonly options: ProvideOptions;
  readonly context: SourceContext;
  readonly events: ProgressEvent[];
}

async function fixture(t: TestContext, options: Partial<ProvideOptions>): Promise<Fixture> {
  const folder = await temporaryFolder(t);
  const events: ProgressEvent[] = [];
  const progress = (event: ProgressEvent) => void events.push(event);
  return {
    folder,
    events,
    options: { source: "auto", lockFile: join(folder, "components.lock.json"), out: join(folder, "out"), ...options },
    context: { cacheDir: join(folder, "cache"), environment: process.env, progress },
  };
}

describe("provideComponents() from a folder", () => {
  const layouts: readonly { readonly name: string; readonly place: (path: string) => string }[] = [
    { name: "laid out like a component folder", place: (path) => path },
    { name: "with plugins beside programs", place: (path) => path.replace(/^bin\/(cni\/)?/, "") },
    { name: "with plugins in a folder of their own", place: (path) => path.replace(/^bin\/cni\//, "cni/bin/") },
  ];
  for (const { name, place } of layouts) {
    test(`takes one ${name}`, async (t) => {
      const dir = await temporaryFolder(t);
      await writePrograms(dir, fakePrograms(), place);
      const { options, context } = await fixture(t, { source: "dir", dir });
      const set = await provideComponents(options, context);
      assert.equal(set.versions.kubernetes.text, "1.30.14");
      assert.equal(set.versions.cni.text, "1.8.0");
      assert.equal((await run(set.path("containerd-shim-runc-v2"))).stdout, "");
      assert.deepEqual((await readdir(set.cniBinDir)).sort(), ["bridge", "host-local", "loopback", "portmap"]);
      assert.ok((await stat(join(set.imagesDir, "pause.tar"))).size > 10_000);
    });
  }

  test("names everything that is missing and makes nothing", async (t) => {
    const dir = await temporaryFolder(t);
    const programs = fakePrograms();
    for (const path of ["bin/runc", "bin/cni/portmap"]) programs.delete(path);
    await writePrograms(dir, programs);
    const { options, context } = await fixture(t, { source: "dir", dir });
    await assert.rejects(provideComponents(options, context), {
      code: "ERR_COMPONENT_MISSING",
      message: `Cannot use components of "${dir}": missing runc, cni/portmap`,
    });
    await assert.rejects(stat(options.out), { code: "ENOENT" });
  });

  test("refuses programs for another processor", async (t) => {
    const dir = await temporaryFolder(t);
    await writePrograms(dir, fakePrograms());
    const header = Buffer.alloc(64);
    header.write("\x7fELF", 0, "latin1");
    header.writeUInt16LE(40, 18); // 32-bit ARM
    await writeFile(join(dir, "bin/runc"), header);
    const { options, context } = await fixture(t, { source: "dir", dir });
    await assert.rejects(provideComponents(options, context), { code: "ERR_COMPONENT_ARCHITECTURE" });
  });

  test("leaves everything as it is while no file has changed", async (t) => {
    const dir = await temporaryFolder(t);
    await writePrograms(dir, fakePrograms());
    const { options, context, events } = await fixture(t, { source: "dir", dir });
    const set = await provideComponents(options, context);
    const inode = async (name: string) => (await stat(set.path(name))).ino;
    const before = await inode("kubelet");
    events.length = 0;
    await provideComponents(options, context);
    assert.deepEqual([await inode("kubelet"), events], [before, []]);

    await appendFile(join(dir, "bin/runc"), "# changed\n");
    await provideComponents(options, context);
    assert.notEqual(await inode("kubelet"), before);
    assert.match(await readFile(set.path("runc"), "utf8"), /# changed/);

    await mkdir(join(dir, "images"));
    await writeFile(join(dir, "images/pause.tar"), "own");
    await provideComponents(options, context);
    assert.equal(await readFile(join(set.imagesDir, "pause.tar"), "utf8"), "own");
    await rm(set.path("runc"));
    await provideComponents(options, context);
    assert.match(await readFile(set.path("runc"), "utf8"), /# changed/);
  });

  test("asks for the folder when none is named", async (t) => {
    const { options, context } = await fixture(t, { source: "dir" });
    await assert.rejects(provideComponents(options, context), {
      code: "ERR_COMPONENT_UNSUPPORTED",
      hint: "Add --dir DIR",
    });
  });
});

/** Puts a whole release on the server, in the publishers' layouts. */
async function publish(t: TestContext, server: ReleaseServer, kubernetes: string): Promise<void> {
  const folder = await temporaryFolder(t);
  const release = findRelease(kubernetes);
  const programs = fakePrograms(release.kubernetes);
  await writePrograms(folder, programs);
  await writeFile(join(folder, "bin/cni/LICENSE"), "not a program");
  const files = upstreamFiles(release, process.arch === "x64" ? "amd64" : "arm64");
  for (const file of files) {
    const path = file.url.replace("https://", "");
    const [first] = file.placements;
    const content =
      first?.member === undefined ? (programs.get(first?.path ?? "") ?? "") : await archive(folder, file.placements);
    server.add(path, content);
    const name = path.slice(path.lastIndexOf("/") + 1);
    const list = file.checksumUrl.endsWith(".sha256")
      ? sha256(content)
      : `${"0".repeat(64)}  other\n${sha256(content)}  ${name}\n`;
    server.add(file.checksumUrl.replace("https://", ""), list);
  }
}

interface Member {
  readonly member?: string;
  readonly path: string;
}

async function archive(folder: string, members: readonly Member[]): Promise<Buffer> {
  const rename = members.map(({ member = "", path }) => `--transform=s,^${path},${member.replace(/\/$/, "")},`);
  const paths = members.map(({ path }) => path);
  const options = { cwd: folder, encoding: "buffer", maxBuffer: 1 << 24 } as const;
  // The same bytes in any second: two servers publish the same release.
  return (await run("tar", ["-czf", "-", "--mtime=@0", ...rename, ...paths], options)).stdout;
}

describe("provideComponents() from the publishers", () => {
  test("downloads, verifies and records a release; the second time it asks nobody", async (t) => {
    const server = await ReleaseServer.start(t);
    await publish(t, server, "1.30");
    const { options, context, events } = await fixture(t, {
      source: "upstream",
      kubernetes: "1.30",
      ...{ mirror: `${server.url}/`, publishers: server.url },
    });
    const set = await provideComponents(options, context);
    assert.deepEqual(
      [set.versions.kubernetes.text, set.versions.etcd?.text, set.versions.crictl?.text],
      ["1.30.14", "3.5.24", "1.30.1"],
    );
    assert.deepEqual((await readdir(set.cniBinDir)).sort(), ["bridge", "host-local", "loopback", "portmap"]);
    assert.ok(events.some((event) => event.step === "Download kubelet 1.30.14" && event.finished === true));
    const lock = JSON.parse(await readFile(options.lockFile, "utf8")) as { sha256: Record<string, string> };
    const url = "https://dl.k8s.io/release/v1.30.14/bin/linux/amd64/kubelet".replace(
      "amd64",
      process.arch === "x64" ? "amd64" : "arm64",
    );
    assert.equal(lock.sha256[url], sha256(await readFile(set.path("kubelet"))));

    server.requests.length = 0;
    const inode = (await stat(set.path("kubelet"))).ino;
    const again = await provideComponents(options, context);
    assert.deepEqual(server.requests, []);
    assert.equal((await stat(again.path("kubelet"))).ino, inode);
  });

  test("repairs a folder whose file was changed, and keeps that file", async (t) => {
    const server = await ReleaseServer.start(t);
    await publish(t, server, "1.30");
    const { options, context, folder } = await fixture(t, {
      source: "upstream",
      kubernetes: "1.30",
      ...{ mirror: server.url, publishers: server.url },
    });
    const set = await provideComponents(options, context);
    const good = await readFile(set.path("runc"), "utf8");
    await appendFile(set.path("runc"), "# changed\n"); // a hard link: the cached set changes with it
    const repaired = await provideComponents(options, context);
    assert.equal(await readFile(repaired.path("runc"), "utf8"), good);
    const kept = (await readdir(folder, { recursive: true })).filter((name) => /runc\.bad-/.test(name));
    assert.ok(kept.length > 0);
  });

  test("makes the folder again without network when it was removed", async (t) => {
    const server = await ReleaseServer.start(t);
    await publish(t, server, "1.30");
    const { options, context } = await fixture(t, {
      source: "upstream",
      kubernetes: "1.30",
      mirror: server.url,
      publishers: server.url,
    });
    await provideComponents(options, context);
    await rm(options.out, { recursive: true });
    server.requests.length = 0;
    await provideComponents(options, context);
    assert.deepEqual(server.requests, []);
  });

  test("refuses a file with another checksum and makes nothing", async (t) => {
    const server = await ReleaseServer.start(t);
    await publish(t, server, "1.30");
    const path = server.paths().find((name) => name.endsWith("/kube-proxy")) ?? "";
    server.add(path, "tampered");
    const { options, context, folder } = await fixture(t, {
      source: "upstream",
      kubernetes: "1.30",
      ...{ mirror: server.url, publishers: server.url },
    });
    await assert.rejects(provideComponents(options, context), { code: "ERR_COMPONENT_CHECKSUM" });
    await assert.rejects(stat(options.out), { code: "ENOENT" });
    const kept = (await readdir(folder, { recursive: true })).filter((name) => /kube-proxy\.part\.bad-/.test(name));
    assert.equal(kept.length, 1);
  });

  const machine = process.arch === "x64" ? "amd64" : "arm64";

  test("believes the recorded checksums and asks no publisher for them", async (t) => {
    const [mirror, publishers] = [await ReleaseServer.start(t), await ReleaseServer.start(t)];
    await publish(t, mirror, "1.30");
    await publish(t, publishers, "1.30");
    const wanted = { source: "upstream", kubernetes: "1.30", mirror: mirror.url } as const;
    const first = await fixture(t, { ...wanted, publishers: publishers.url });
    await provideComponents(first.options, first.context);
    assert.ok(
      publishers.requests.every((request) => /sha256/i.test(request)),
      publishers.requests.join(),
    );
    assert.ok(
      mirror.requests.every((request) => !/sha256/i.test(request)),
      mirror.requests.join(),
    );

    publishers.requests.length = 0;
    const { lockFile } = first.options;
    const second = await fixture(t, { ...wanted, publishers: publishers.url, lockFile });
    await provideComponents(second.options, second.context);
    assert.deepEqual(publishers.requests, []);
  });

  test("refuses a file that is not the one whose checksum was recorded", async (t) => {
    const server = await ReleaseServer.start(t);
    await publish(t, server, "1.30");
    const servers = { mirror: server.url, publishers: server.url };
    const { options, context } = await fixture(t, { source: "upstream", kubernetes: "1.30", ...servers });
    const url = upstreamFiles(findRelease("1.30"), machine)[0]?.url ?? "";
    await writeFile(options.lockFile, JSON.stringify({ sha256: { [url]: "c".repeat(64) } }));
    await assert.rejects(provideComponents(options, context), { code: "ERR_COMPONENT_CHECKSUM" });
  });

  test("does not take a mirror's word for a checksum", async (t) => {
    const [mirror, publishers] = [await ReleaseServer.start(t), await ReleaseServer.start(t)];
    await publish(t, mirror, "1.30");
    const servers = { mirror: mirror.url, publishers: publishers.url };
    const { options, context } = await fixture(t, { source: "upstream", kubernetes: "1.30", ...servers });
    await assert.rejects(provideComponents(options, context), {
      code: "ERR_COMPONENT_LOCK",
      hint: /--source upstream --kubernetes 1\.30\.14 --out DIR .* copy its build\/components\.lock\.json/,
    });
    assert.deepEqual(mirror.requests, []);
  });

  test("says which file a mirror does not have", async (t) => {
    const [mirror, publishers] = [await ReleaseServer.start(t), await ReleaseServer.start(t)];
    await publish(t, publishers, "1.30");
    const servers = { mirror: mirror.url, publishers: publishers.url };
    const { options, context } = await fixture(t, { source: "upstream", kubernetes: "1.30", ...servers });
    await assert.rejects(provideComponents(options, context), {
      code: "ERR_COMPONENT_DOWNLOAD",
      message: /kube-apiserver": the server answered 404 Not Found/,
    });
  });

  test("makes the same set once when two builds start together", async (t) => {
    const server = await ReleaseServer.start(t);
    await publish(t, server, "1.30");
    const { options, context } = await fixture(t, {
      source: "upstream",
      kubernetes: "1.30",
      ...{ mirror: server.url, publishers: server.url },
    });
    const other = { ...options, out: `${options.out}-2` };
    const meeting = Promise.withResolvers<void>();
    const progress = ({ step }: ProgressEvent) => (step === "Wait for another build" ? meeting.resolve() : undefined);
    const kubelet = server.paths().find((path) => path.endsWith("/kubelet")) ?? assert.fail();
    server.fail(kubelet, { kind: "hold", until: meeting.promise });
    const both = { ...context, progress };
    await Promise.all([provideComponents(options, both), provideComponents(other, both)]);
    const kubelets = server.requests.filter(
      (request) => request.startsWith("storage/") && request.endsWith("/kubelet"),
    );
    assert.equal(kubelets.length, 1);
  });
});

describe("findDebianSuite()", () => {
  const cases = [
    { name: "Debian 12", text: "ID=debian\nVERSION_CODENAME=bookworm\n", codename: "bookworm" },
    { name: "a later Debian", text: "ID=debian\nVERSION_CODENAME=trixie\n", codename: undefined },
    {
      name: "another system with the same code name",
      text: 'ID="raspbian"\nVERSION_CODENAME=bookworm\n',
      codename: undefined,
    },
    { name: "a system without code name", text: "ID=alpine\n", codename: undefined },
  ];
  for (const { name, text, codename } of cases) {
    test(`answers for ${name}`, async (t) => {
      const path = join(await temporaryFolder(t), "os-release");
      await writeFile(path, text);
      assert.equal((await findDebianSuite(path))?.codename, codename);
    });
  }

  test("answers undefined without the file", async () => {
    assert.equal(await findDebianSuite("/nonexistent/os-release"), undefined);
  });
});
