import assert from "node:assert/strict";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { release, tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { gzipSync } from "node:zlib";
import { checksFor } from "../src/checks.ts";
import { evaluate } from "../src/evaluate.ts";
import { inspectHost, type InspectOptions } from "../src/inspect-host.ts";
import { inspectDisk } from "../src/inspect/disk.ts";
import { inspectKernel, parseKernelConfig, parseModuleList } from "../src/inspect/kernel.ts";
import { parseUfwStatus } from "../src/inspect/network.ts";
import { findRoutes } from "../src/inspect/parse-routes.ts";
import { findRivals, listProcesses } from "../src/inspect/processes.ts";
import { parseControllers, parseTrials, tryFeatures } from "../src/inspect/try-features.ts";

const PATH = `${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`;
const limit = () => AbortSignal.timeout(60_000);

async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "check-config-"));
  t.after(() => rm(path, { recursive: true, force: true }));
  return path;
}

function options(dataDir: string): InspectOptions {
  return {
    ...{ dataDir, path: PATH, kernelConfig: undefined, programs: { versions: "none" }, settingsProblem: undefined },
    settingsWarnings: [],
    ...{ ports: [], ranges: ["10.42.0.0/16", "10.43.0.0/16"], notBeforeMs: 0, ownPid: undefined },
    isOurs: () => Promise.resolve(false),
    signal: limit(),
  };
}

describe("inspectHost()", () => {
  test("answers for this machine, as JSON too, and leaves no trace", async (t) => {
    const place = await folder(t);
    const facts = await inspectHost(options(join(place, "k3s/data")));
    assert.deepEqual(await readdir(place), []);
    assert.equal(facts.system.kernelRelease, release());
    assert.equal(facts.disk.place, place);
    assert.ok((facts.disk.syncMs?.worst ?? 0) > 0);
    assert.ok(facts.network.interfaces.includes("lo"));
    assert.equal(facts.clock.notBeforeMs, 0);
    const copy = JSON.parse(JSON.stringify(facts)) as typeof facts;
    const [first, second] = [facts, copy].map((each) => evaluate(each, checksFor(each)));
    assert.deepEqual(first, second);
  });
});

describe("inspectKernel()", () => {
  test("reads options from the file that is named, plain or packed", async (t) => {
    const place = await folder(t);
    const text = "# comment\nCONFIG_VETH=m\nCONFIG_BRIDGE=y\n# CONFIG_VXLAN is not set\nCONFIG_UNASKED=y\n";
    await writeFile(join(place, "plain"), text);
    await writeFile(join(place, "packed.gz"), gzipSync(text));
    for (const name of ["plain", "packed.gz"]) {
      const configFile = join(place, name);
      const facts = await inspectKernel({ configFile, path: PATH, signal: limit() });
      assert.deepEqual(facts.options, { VETH: "module", BRIDGE: "built-in" });
      assert.equal(facts.configFile, configFile);
    }
  });

  test("rejects when that file is not there", async (t) => {
    const configFile = join(await folder(t), "absent");
    await assert.rejects(inspectKernel({ configFile, path: PATH, signal: limit() }), /ENOENT/);
  });

  test("parseKernelConfig() takes nothing but options that are looked at", () => {
    assert.deepEqual(parseKernelConfig("CONFIG_KEYS=y\nCONFIG_HZ=250\nCONFIG_MEMCG=n\n"), { KEYS: "built-in" });
  });
});

test("parseModuleList() reads names as the kernel spells them", () => {
  const text =
    "kernel/net/ipv4/netfilter/iptable_nat.ko.zst: kernel/net/nf_nat.ko.zst\nkernel/lib/nft-compat.ko:\nnothing";
  assert.deepEqual([...parseModuleList(text)], ["iptable_nat", "nft_compat"]);
});

describe("tryFeatures()", () => {
  test("finds what every machine with containers has, and changes none of its interfaces", async () => {
    const before = await readdir("/sys/class/net");
    const tried = await tryFeatures({ path: PATH, signal: limit() });
    assert.equal(tried["NAMESPACES"], true);
    assert.equal(tried["CGROUPS"], true);
    assert.deepEqual(await readdir("/sys/class/net"), before);
  });

  test("leaves out what cannot be tried for lack of programs", async (t) => {
    const tried = await tryFeatures({ path: await folder(t), signal: limit() });
    assert.equal(tried["VETH"], undefined);
    assert.equal(tried["NET_NS"], true);
  });

  test("parseTrials() tells a program that is missing from a feature that is", () => {
    assert.deepEqual(parseTrials("VETH 0\nVXLAN 2\nIP_NF_NAT 127\nnoise\n"), { VETH: true, VXLAN: false });
  });

  test("parseControllers() takes a row that is missing for an option that is, on version 1 only", () => {
    const table = "#subsys_name\ncpuset\t1\t1\t1\nblkio\t2\t1\t1\n";
    assert.deepEqual(parseControllers("#subsys_name\thierarchy\n", undefined), {});
    const version1 = parseControllers(table, undefined);
    assert.deepEqual([version1["MEMCG"], version1["CPUSETS"], version1["BLK_CGROUP"]], [false, true, true]);
    const version2 = parseControllers("#subsys_name\n", "cpu io memory");
    assert.deepEqual(
      ["MEMCG", "CGROUP_CPUACCT", "BLK_CGROUP", "CGROUP_PIDS"].map((name) => version2[name]),
      [true, true, true, undefined],
    );
  });

  test("agrees with the configuration of this kernel where there is one", async () => {
    const { configFile, options: known } = await inspectKernel({ configFile: undefined, path: PATH, signal: limit() });
    const tried = await tryFeatures({ path: PATH, signal: limit() });
    const wrong = Object.entries(tried).filter(([option, works]) => works && known[option] === undefined);
    // Newer kernels have the targets of iptables under other names.
    const renamed = wrong.filter(([option]) => !/^IP_NF_/.test(option));
    assert.deepEqual(configFile === undefined ? [] : renamed, []);
  });
});

describe("findRoutes()", () => {
  const head = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n";
  const row = (via: string, destination: string, [mask, flags = "0001"]: readonly [string, string?]) =>
    `${via}\t${destination}\t00000000\t${flags}\t0\t0\t0\t${mask}\t0\t0\t0\n`;
  const ranges = ["10.42.0.0/16", "fd00:42::/56"];

  test("finds the default route", () => {
    const ipv4 = head + row("eth0", "00000000", ["00000000", "0003"]);
    assert.deepEqual(findRoutes({ ipv4, ipv6: "" }, ranges), { hasDefaultRoute: true, overlappingRoutes: [] });
    assert.equal(findRoutes({ ipv4: head, ipv6: "" }, ranges).hasDefaultRoute, false);
  });

  test("finds routes that hold a range or lie in one, and not those of a node", () => {
    const rows = [
      row("tun0", "0000000A", ["000000FF"]), // 10.0.0.0/8
      row("eth1", "00052A0A", ["00FFFFFF"]), // 10.42.5.0/24
      row("cni0", "00002A0A", ["00FFFFFF"]),
      row("eth0", "0000A8C0", ["0000FFFF"]), // 192.168.0.0/16
      row("eth2", "00002A0A", ["0000FFFF", "0000"]), // down
    ];
    const { overlappingRoutes } = findRoutes({ ipv4: head + rows.join(""), ipv6: "" }, ranges);
    assert.deepEqual(
      overlappingRoutes.map(({ route, via }) => `${route} ${via}`),
      ["10.0.0.0/8 tun0", "10.42.5.0/24 eth1"],
    );
  });

  test("looks at IPv6 as well", () => {
    const zero = "0".repeat(32);
    const line = (address: string, prefix: string, via: string) =>
      `${address} ${prefix} ${zero} 00 ${zero} 00000400 00000001 00000000 00000001     ${via}\n`;
    const ipv6 = [
      line("fd000042000000000000000000000000", "40", "wg0"),
      line("fe800000000000000000000000000000", "40", "eth0"),
      line(zero, "00", "lo"),
    ].join("");
    const { hasDefaultRoute, overlappingRoutes } = findRoutes({ ipv4: head, ipv6 }, ranges);
    assert.equal(hasDefaultRoute, false);
    assert.deepEqual(
      overlappingRoutes.map(({ range, via }) => `${range} ${via}`),
      ["fd00:42::/56 wg0"],
    );
  });
});

test("parseUfwStatus() reads ports that are open to all, and sources that reach all", () => {
  const text = [
    "Status: active\n",
    "To                         Action      From",
    "--                         ------      ----",
    "6443/tcp                   ALLOW       Anywhere",
    "22/tcp                     LIMIT       Anywhere",
    "Anywhere                   ALLOW IN    10.42.0.0/16",
    "10250/tcp                  ALLOW       192.0.2.1",
    "8472/udp (v6)              ALLOW       Anywhere (v6)",
  ].join("\n");
  assert.deepEqual(parseUfwStatus(text), ["6443/tcp", "10.42.0.0/16", "8472/udp"]);
});

describe("inspectDisk()", () => {
  test("looks at the nearest folder that is there", async (t) => {
    const place = await folder(t);
    await writeFile(join(place, "file"), "");
    const { place: found, isWritable, freeBytes, dataDir } = await inspectDisk(join(place, "file/below"));
    assert.deepEqual([found, isWritable, dataDir], [place, true, join(place, "file/below")]);
    assert.ok(freeBytes > 0);
    assert.deepEqual(await readdir(place), ["file"]);
  });
});

describe("findRivals()", () => {
  test("does not take this process for one", async () => {
    const processes = await listProcesses();
    assert.ok(processes.some(({ pid }) => pid === process.pid));
    assert.ok(!(await findRivals(processes)).some(({ pid }) => pid === process.pid));
  });

  test("knows a kubelet of this network by its name", async () => {
    const found = await findRivals([
      { pid: process.pid, name: "kubelet" },
      { pid: process.pid, name: "bash" },
    ]);
    assert.deepEqual(found, [{ pid: process.pid, name: "kubelet" }]);
  });
});
