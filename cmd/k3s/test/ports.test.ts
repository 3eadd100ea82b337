import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { text } from "node:stream/consumers";
import { describe, test, type TestContext } from "node:test";
import { loadServerConfig, readHostFacts, type ServerConfig } from "@k3s/config";
import { isLeftover } from "@k3s/process";
import { PreflightError } from "../src/errors.ts";
import { checkPorts, serverPorts } from "../src/preflight/check-ports.ts";
import { parseListeners } from "../src/preflight/listeners.ts";

async function config(flags: Readonly<Record<string, string>> = {}): Promise<ServerConfig> {
  return await loadServerConfig({
    flags: new Map(Object.entries({ "node-ip": "192.0.2.9", ...flags }).map(([name, value]) => [name, [value]])),
    unknownFlags: [],
    env: { K3S_CONFIG_FILE: "/dev/null" },
    host: await readHostFacts(),
    signal: AbortSignal.timeout(10_000),
  });
}

async function listen(t: TestContext, address: string): Promise<number> {
  const server = createServer().listen(0, address);
  t.after(() => server.close());
  await once(server, "listening");
  const place = server.address();
  assert.ok(typeof place === "object" && place !== null);
  return place.port;
}

/** Prints its port and goes on listening. */
const LISTENER =
  'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); require("fs").closeSync(1); });';

const nobody = () => Promise.resolve(false);

describe("serverPorts()", () => {
  const ports = async (flags?: Readonly<Record<string, string>>) =>
    serverPorts(await config(flags)).map(({ port, address }) => `${port} ${address ?? "any"}`);

  test("names every port of a server with a node", async () => {
    assert.deepEqual(await ports(), [
      "6443 any",
      "6444 127.0.0.1",
      "10257 127.0.0.1",
      "10259 127.0.0.1",
      "10250 any",
      "10248 127.0.0.1",
      "10010 127.0.0.1",
      "10249 127.0.0.1",
      "10256 127.0.0.1",
    ]);
  });

  test("leaves out what is disabled, and what an argument moves", async () => {
    assert.deepEqual(
      await ports({ "disable-agent": "true", "disable-scheduler": "true", "https-listen-port": "7443" }),
      ["7443 any", "7444 127.0.0.1", "10257 127.0.0.1"],
    );
    const moved = await ports({
      "kubelet-arg": "port=20250",
      "kube-controller-manager-arg": "secure-port=1",
      "disable-kube-proxy": "1",
    });
    assert.deepEqual(moved, ["6443 any", "6444 127.0.0.1", "10259 127.0.0.1", "10248 127.0.0.1", "10010 127.0.0.1"]);
  });

  test("uses the IPv6 loopback address with an IPv6 service range", async () => {
    assert.ok((await ports({ "node-ip": "2001:db8::9" })).includes("6444 ::1"));
  });
});

describe("parseListeners()", () => {
  test("reads listening sockets only", () => {
    const table = [
      "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode",
      "   0: 0100007F:192B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0 100 0 0 10 0",
      "   1: 0100007F:192B 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0 20 4 30 10 -1",
    ].join("\n");
    assert.deepEqual(parseListeners(table), [{ rawAddress: "0100007F", port: 6443, inode: "4711" }]);
  });
});

describe("checkPorts()", () => {
  const needed = (port: number, address: string | undefined) => [{ port, purpose: "a test", address }];
  const taken = (error: unknown) => error instanceof PreflightError && error.code === "ERR_PORT_TAKEN";

  for (const [held, wanted] of [
    ["127.0.0.1", "127.0.0.1"],
    ["127.0.0.1", undefined],
    ["0.0.0.0", "127.0.0.1"],
    ["::1", "::1"],
    ["::", "127.0.0.1"],
    ["::ffff:127.0.0.1", "127.0.0.1"],
  ] as const) {
    test(`refuses ${wanted ?? "every address"} when ${held} is taken, naming the process`, async (t) => {
      const port = await listen(t, held);
      await assert.rejects(checkPorts(needed(port, wanted), nobody), (error: unknown) => {
        assert.ok(taken(error));
        assert.match(String(error), new RegExp(`for a test: it is taken by .+, process ${process.pid}$`));
        return true;
      });
    });
  }

  for (const [held, wanted] of [
    ["127.0.0.1", "127.0.0.2"],
    ["127.0.0.1", "::1"],
    ["::1", "127.0.0.1"],
  ] as const) {
    test(`accepts ${wanted} when only ${held} is taken`, async (t) => {
      await checkPorts(needed(await listen(t, held), wanted), nobody);
    });
  }

  test("accepts a port held by a child of an earlier run on this data dir, not of another", async (t) => {
    // A mark that names its own process, as the launcher sets it for every child of ours.
    const mark = 'export K3S_SUPERVISED_BY="0123456789abcdef:$$:$(cut -d" " -f22 /proc/$$/stat)"; exec "$@"';
    const child = spawn("sh", ["-c", mark, "sh", process.execPath, "-e", LISTENER], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    t.after(() => child.kill("SIGKILL"));
    const port = Number(await text(child.stdout));
    await checkPorts(needed(port, "127.0.0.1"), (pid) => isLeftover("0123456789abcdef", pid));
    await assert.rejects(
      checkPorts(needed(port, "127.0.0.1"), (pid) => isLeftover("fedcba9876543210", pid)),
      taken,
    );
  });

  test("refuses a port held by a process that has merely inherited the mark, as it would not be ended", async (t) => {
    const child = spawn(process.execPath, ["-e", LISTENER], {
      env: { K3S_SUPERVISED_BY: "0123456789abcdef:1:2" },
      stdio: ["ignore", "pipe", "inherit"],
    });
    t.after(() => child.kill("SIGKILL"));
    const port = Number(await text(child.stdout));
    await assert.rejects(
      checkPorts(needed(port, "127.0.0.1"), (pid) => isLeftover("0123456789abcdef", pid)),
      taken,
    );
  });
});
