import assert from "node:assert/strict";
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { run, temporaryFolder } from "./cli-process.ts";
import { writeComponentFolder } from "./component-folder.ts";

interface Finding {
  readonly id: string;
  readonly status: string;
  readonly severity: string;
  readonly found: string;
  readonly cure?: string;
}

interface Report {
  readonly status: string;
  readonly failures: number;
  readonly findings: readonly Finding[];
  readonly facts: { readonly disk: { readonly dataDir: string }; readonly kernel: { readonly configFile?: string } };
}

/** A place with components and a data dir that is not there yet. */
async function place(t: TestContext) {
  const folder = await temporaryFolder(t);
  const components = join(folder, "components");
  await writeComponentFolder(components, "#!/bin/sh\n");
  return { folder, dataDir: join(folder, "data"), env: { K3S_COMPONENTS_DIR: components } };
}

async function reportOf(t: TestContext, args: readonly string[], options: Parameters<typeof run>[2]) {
  const { code, stdout, stderr } = await run(t, ["check-config", ...args], options);
  assert.equal(stderr, "");
  const report = JSON.parse(stdout) as Report;
  return { code, report, of: (id: string) => report.findings.find((found) => found.id === id) };
}

describe("k3s check-config", () => {
  test("prints a report that ends with the status, and writes nothing", async (t) => {
    const { folder, dataDir, env } = await place(t);
    const before = await readdir(folder);
    const { code, stdout } = await run(t, ["check-config", "-data-dir", dataDir], { env });
    assert.match(stdout, /\nSTATUS: (pass|\d+ \(fail\))\n$/);
    assert.equal(code, stdout.endsWith("STATUS: pass\n") ? 0 : 1);
    assert.match(stdout, /- bundled programs: Kubernetes 1\.20\.2, containerd 1\.6\.20, runc 1\.1\.5\n/);
    assert.deepEqual(await readdir(folder), before);
  });

  for (const flags of [["--json"], ["-o", "json"], ["-output=json"]])
    test(`prints JSON with ${flags.join(" ")}`, async (t) => {
      const { dataDir, env } = await place(t);
      const { code, report } = await reportOf(t, ["-d", dataDir, ...flags], { env });
      assert.equal(code, report.failures === 0 ? 0 : 1);
      assert.equal(report.status, report.failures === 0 ? "pass" : "fail");
      assert.equal(report.facts.disk.dataDir, dataDir);
    });

  test("reads the file of kernel options that is named, as argument or variable, and fails by it", async (t) => {
    const { folder, dataDir, env } = await place(t);
    const file = join(folder, "kernel.config");
    await writeFile(file, "CONFIG_NAMESPACES=y\n");
    for (const [args, variables] of [
      [[file], {}],
      [[], { CONFIG: file }],
    ] as const) {
      const { code, of, report } = await reportOf(t, ["--json", "-d", dataDir, ...args], {
        env: { ...env, ...variables },
      });
      assert.equal(code, 1);
      assert.equal(report.facts.kernel.configFile, file);
      assert.equal(of("kernel-namespaces")?.status, "ok");
      assert.match(of("kernel-veth")?.cure ?? "", /CONFIG_VETH/);
    }
  });

  test("says what is wrong with the settings, and goes on with the defaults", async (t) => {
    const { folder, dataDir, env } = await place(t);
    const config = join(folder, "config.yaml");
    await writeFile(config, "https-listen-port: many\n");
    const { code, of } = await reportOf(t, ["--json", "-d", dataDir, "-c", config], {
      env: { ...env, K3S_CONFIG_FILE: "" },
    });
    assert.equal(code, 1);
    const found = of("settings")?.found ?? "";
    assert.match(found, /https-listen-port/);
    assert.ok(!found.includes("\n"));
    assert.ok(of("port-6443") !== undefined);
  });

  test("names keys of the config file that nobody knows", async (t) => {
    const { folder, dataDir, env } = await place(t);
    const config = join(folder, "config.yaml");
    await writeFile(config, "node-lable: x=y\n");
    const { of } = await reportOf(t, ["--json", "-d", dataDir], { env: { ...env, K3S_CONFIG_FILE: config } });
    assert.match(of("settings-warnings")?.found ?? "", /node-lable/);
  });

  test("looks at the ports of an agent when it is to be one", async (t) => {
    const { dataDir, env } = await place(t);
    const { of } = await reportOf(t, ["--json", "-d", dataDir, "--role", "agent"], { env });
    assert.equal(of("settings")?.status, "ok");
    assert.equal(of("port-6443"), undefined);
    assert.ok(of("port-10250") !== undefined);
  });

  test("says that programs are missing", async (t) => {
    const { folder, dataDir } = await place(t);
    const env = { K3S_COMPONENTS_DIR: join(folder, "nothing") };
    const { code, of } = await reportOf(t, ["--json", "-d", dataDir], { env });
    assert.equal(code, 1);
    assert.equal(of("programs")?.status, "missing");
  });

  for (const [args, message] of [
    [["-o", "xml"], /"xml" is no output format/],
    [["--role", "king"], /"king" is no role/],
    [["--fast"], /unknown option/],
    [["/nowhere/config"], /kernel configuration "\/nowhere\/config" cannot be read/],
  ] as const)
    test(`refuses ${args.join(" ")}`, async (t) => {
      const { code, stderr } = await run(t, ["check-config", ...args]);
      assert.equal(code, 1);
      assert.match(stderr, message);
    });
});

describe("k3s check-config on a machine that is worse than this one", () => {
  /** Runs in network and mount namespaces of its own, after `setup` has made them worse. */
  async function inWorld(t: TestContext, setup: string) {
    const { dataDir, env } = await place(t);
    await mkdir(dataDir);
    const script = `set -e\nip link set lo up\n${setup.replaceAll("DATA", dataDir)}\nexec "$@"`;
    // Whatever the script leaves running ends with the process namespace.
    const namespaces = ["--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];
    const wrapper = ["unshare", ...namespaces, "sh", "-c", script, "sh"];
    return await reportOf(t, ["--json", "-d", dataDir], { env, wrapper });
  }

  test("finds a network without a way out, and interfaces of others", async (t) => {
    const { of } = await inWorld(
      t,
      "ip link add cni0 type bridge; ip addr add 10.42.7.1/24 dev cni0; ip link set cni0 up",
    );
    assert.equal(of("default-route")?.status, "missing");
    assert.match(of("settings")?.found ?? "", /--node-ip must be given/);
    assert.match(of("pod-interfaces")?.found ?? "", /cni0/);
    assert.equal(of("routes")?.status, "ok");
  });

  test("finds a route into the range of pods", async (t) => {
    const { of, code } = await inWorld(
      t,
      "ip link add tun7 type bridge; ip addr add 10.42.7.1/24 dev tun7; ip link set tun7 up",
    );
    assert.match(of("routes")?.found ?? "", /10\.42\.0\.0\/16 overlaps the route 10\.42\.7\.0\/24 by tun7/);
    assert.equal(code, 1);
  });

  test("names who has a port", async (t) => {
    const listen =
      'require("net").createServer().listen(6443, "127.0.0.1", () => require("fs").writeFileSync("DATA/up", ""))';
    const { of } = await inWorld(t, `${process.execPath} -e '${listen}' & until [ -e DATA/up ]; do sleep 0.1; done`);
    assert.equal(of("port-6443")?.status, "missing");
    assert.match(of("port-6443")?.found ?? "", /taken by .+, process \d+/);
    assert.equal(of("port-10250")?.found, "free");
  });

  test("finds a data dir in memory that is nearly full, and one that programs may not run from", async (t) => {
    const small = await inWorld(t, "mount -t tmpfs -o size=20m tmpfs DATA");
    assert.equal(small.of("disk-filesystem")?.found, "tmpfs");
    assert.equal(small.of("disk-space")?.status, "missing");
    const noexec = await inWorld(t, "mount -t tmpfs -o noexec tmpfs DATA");
    assert.match(noexec.of("disk-writable")?.found ?? "", /mounted noexec/);
  });

  test("tries the kernel's features where no configuration can be read", async (t) => {
    const hide =
      "for file in /proc/config.gz /boot /usr/src; do [ -d $file ] && mount -t tmpfs tmpfs $file || mount --bind /dev/null $file || true; done";
    const { of, report } = await inWorld(t, hide);
    if (report.facts.kernel.configFile !== undefined) return; // found in /lib/modules, which has to stay
    assert.equal(of("kernel-namespaces")?.found, "works");
    assert.equal(of("kernel-veth")?.found, "works");
    assert.equal(of("kernel-ip-vs-rr")?.status, "unknown");
  });
});
