import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { conflist } from "../src/index.ts";

interface Bridge {
  readonly type: string;
  readonly bridge: string;
  readonly isDefaultGateway: boolean;
  readonly ipam: { readonly ranges: readonly (readonly { readonly subnet: string }[])[]; readonly routes?: unknown };
}

function bridgeOf(podCidrs: readonly string[]): Bridge {
  const network = JSON.parse(conflist({ podCidrs, bridge: "cni0" })) as { readonly plugins: readonly [Bridge] };
  return network.plugins[0];
}

describe("conflist()", () => {
  test("gives pods addresses of the node's CIDR and one default route", () => {
    const { type, bridge, ipam, isDefaultGateway } = bridgeOf(["10.42.0.0/24"]);
    assert.deepEqual([type, bridge, ipam.ranges], ["bridge", "cni0", [[{ subnet: "10.42.0.0/24" }]]]);
    assert.deepEqual([isDefaultGateway, ipam.routes], [true, undefined]);
  });

  test("gives pods of a dual-stack node one address of each family", () => {
    const { ipam } = bridgeOf(["10.42.0.0/24", "fd00:42::/64"]);
    assert.deepEqual(ipam.ranges, [[{ subnet: "10.42.0.0/24" }], [{ subnet: "fd00:42::/64" }]]);
  });
});
