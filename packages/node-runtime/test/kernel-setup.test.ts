import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
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

test("setUpKernel() goes on with one warning when no module can be loaded", async (t) => {
  const folder = await mkdtemp(join(tmpdir(), "kernel-setup-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const lines: string[] = [];
  const log = createLogger({ level: "debug", format: "json", write: (line) => lines.push(line) });
  await setUpKernel({ log, path: folder, ipv4: false, ipv6: false, bridgeFiltering: false, conntrack: false });
  const warnings = lines.filter((line) => line.includes("kernel modules could not be loaded"));
  assert.ok(warnings.length <= 1);
  assert.equal(lines.length, warnings.length);
  for (const warning of warnings) assert.match(warning, /"cure":"load them on the host/);
});
