import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { createLogger } from "@k3s/log";
import { RouteRefusal } from "@k3s/supervisor-api";
import { NodeNames, ServerNames, type AddressHolder } from "../src/index.ts";
import type { NodeNamesOptions } from "../src/node-names.ts";

/** Server 10.0.0.11 asks; 10.0.0.12 serves the API as well, without a node; 10.0.0.10 is the balancer in front of both. */
function names(more: Partial<NodeNamesOptions> = {}) {
  const lines: string[] = [];
  const made = new NodeNames({
    servers: new ServerNames({
      servingSans: ["127.0.0.1", "localhost", "srv1", "10.0.0.11", "10.0.0.10", "192.0.2.1"],
      externalIps: ["192.0.2.1"],
      apiServers: () => ["10.0.0.11:6443", "10.0.0.12:6443", "[fd00::12]:6443"],
    }),
    serviceCidrs: ["10.43.0.0/16"],
    holderOf: () => undefined,
    localNode: undefined,
    log: createLogger({ level: "warn", format: "json", write: (line) => lines.push(line) }),
    ...more,
  });
  const grant = (ips: readonly string[], remoteAddress: string, nodeName = "n1") =>
    made.grant({ nodeName, ips, remoteAddress });
  return { grant, lines };
}

const held = (holders: Readonly<Record<string, AddressHolder>>) => ({
  holderOf: (ip: string): AddressHolder | undefined => holders[ip],
});
const isRefusal = (text: RegExp) => (error: unknown) => error instanceof RouteRefusal && text.test(error.message);
const OF_SERVERS = ["10.0.0.10", "10.0.0.11", "10.0.0.12", "::ffff:10.0.0.12", "fd00::12", "FD00:0::12"];

describe("NodeNames", () => {
  test("an address of a server is nobody's, also not of the node that says it has it", () => {
    for (const ip of OF_SERVERS) {
      const { grant } = names({ holderOf: () => ({ name: "n1", isExternal: false, isShown: true }) });
      assert.throws(() => grant([ip], "10.0.0.21"), isRefusal(/is that of a server/), ip);
    }
  });

  test("who asks from an address of a server is let in without it: a proxy may run there", () => {
    for (const ip of OF_SERVERS)
      for (const remote of [ip.replace("::ffff:", "").replace("FD00:0::", "fd00::"), "127.0.0.1", "::1"]) {
        const { grant, lines } = names(held({ [ip]: { name: "n1", isExternal: false, isShown: true } }));
        assert.deepEqual(grant(["10.0.0.21", ip], remote), ["10.0.0.21"], `${ip} from ${remote}`);
        assert.match(lines.join(), /address of a server is left out/);
      }
  });

  test("a node that is called like an address of a server gets nothing, from wherever it asks", () => {
    for (const remote of ["10.0.0.21", "10.0.0.12", "127.0.0.1"])
      assert.throws(() => names().grant([], remote, "10.0.0.12"), isRefusal(/10\.0\.0\.12/), remote);
    assert.throws(() => names().grant([], "10.0.0.21", "srv1"), isRefusal(/is a name of the servers/));
    assert.throws(() => names().grant([], "10.0.0.21", "192.0.2.1"), isRefusal(/192\.0\.2\.1/));
  });

  test("the address that a server's NAT gives its agents as well is left out, now and when it is theirs in the API", () => {
    assert.deepEqual(names().grant(["10.0.0.21", "192.0.2.1"], "192.0.2.1"), ["10.0.0.21"]);
    const later = names(held({ "192.0.2.1": { name: "n1", isExternal: true, isShown: true } }));
    assert.deepEqual(later.grant(["10.0.0.21", "192.0.2.1"], "192.0.2.1"), ["10.0.0.21"]);
  });

  test("an address that another node claims is for who asks from it, unless that node is there", () => {
    const claimed = { name: "n-old", isExternal: false, isShown: false };
    const gone = names(held({ "10.0.0.21": claimed }));
    assert.deepEqual(gone.grant(["10.0.0.21"], "10.0.0.21"), ["10.0.0.21"]);
    assert.deepEqual(gone.grant(["10.0.0.21", "10.0.0.22"], "192.0.2.7"), ["10.0.0.22"], "it joins all the same");
    assert.match(gone.lines.join(), /address of node n-old is left out/);
    const there = names(held({ "10.0.0.21": { ...claimed, isShown: true } }));
    assert.deepEqual(there.grant(["10.0.0.21"], "10.0.0.21"), []);
    assert.deepEqual(there.grant(["10.0.0.21"], "192.0.2.7", "n-old"), ["10.0.0.21"]);
    const external = names(held({ "192.0.2.7": { ...claimed, isExternal: true } }));
    assert.deepEqual(external.grant(["192.0.2.7"], "192.0.2.7"), []);
  });
});
