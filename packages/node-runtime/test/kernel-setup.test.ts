import assert from "node:assert/strict";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { createLogger } from "@k3s/log";
import { setUpKernel, wantedSysctls } from "../src/kernel-setup.ts";

const everything = { ipv4: true, ipv6: true, bridgeFiltering: true, conntrack: true };

describe("wantedSysctls()", () => {
  test("forwards what the cluster speaks", () => {
    const names = Object.keys(wantedSysctls({ ...everything, ipv6: false }, 2));
    assert.ok(names.includes("net/ipv4/conf/all/forwarding"));
    assert.ok(names.every((name) => !name.includes("ipv6") && !name.includes("ip6tables")));
  });

  for (const { cpus, limit } of [
    { cpus: 1, limit: "131072" },
    { cpus: 4, limit: "131072" },
    { cpus: 8, limit: "262144" },
  ])
    test(`allows ${limit} connections on ${cpus} processors`, () =>
      assert.equal(wantedSysctls(everything, cpus)["net/netfilter/nf_conntrack_max"], limit));

  test("leaves bridges and connection tracking alone when told so", () => {
    const names = Object.keys(wantedSysctls({ ...everything, bridgeFiltering: false, conntrack: false }, 2));
    assert.ok(names.every((name) => !name.includes("bridge") && !name.includes("conntrack")));
  });
});

describe("setUpKernel()", () => {
  /** Runs it with a search path that holds nothing but the given scripts; what is logged. */
  async function warnings(t: TestContext, scripts: Readonly<Record<string, string>>): Promise<string[]> {
    const folder = await mkdtemp(join(tmpdir(), "kernel-setup-"));
    t.after(() => rm(folder, { recursive: true, force: true }));
    for (const [name, script] of Object.entries(scripts)) {
      await writeFile(join(folder, name), `#!/bin/sh\n${script}\n`);
      await chmod(join(folder, name), 0o755);
    }
    const lines: string[] = [];
    const log = createLogger({ level: "debug", format: "json", write: (line) => lines.push(line) });
    await setUpKernel({ log, path: folder, ipv4: false, ipv6: true, bridgeFiltering: false, conntrack: false });
    return lines.filter((line) => line.includes("kernel modules could not be loaded"));
  }

  test("goes on with one warning when modules can neither be loaded nor done without", async (t) => {
    const lines = await warnings(t, { modprobe: "exit 1", iptables: "exit 3", ip6tables: "exit 3" });
    // Each machine has other modules loaded already: those are not looked for.
    assert.ok(lines.length <= 1);
    for (const line of lines) assert.match(line, /"cure":"load them on the host/);
  });

  for (const [name, scripts] of [
    ["modprobe succeeds", { modprobe: "exit 0" }],
    ["the kernel has them built in", { modprobe: "exit 1", iptables: "exit 0", ip6tables: "exit 0" }],
  ] as const)
    test(`says nothing of iptables' modules when ${name}`, async (t) => {
      for (const line of await warnings(t, scripts)) assert.doesNotMatch(line, /iptable|ip6table|nft/);
    });
});
