import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";
import { ServerList, type Effects } from "../src/server-list.ts";
import type { ServerEvent } from "../src/server-state.ts";

const [A, B, C] = ["10.0.0.1:6443", "10.0.0.2:6443", "10.0.0.3:6443"] as const;
describe("ServerList", () => {
  let nowMs = 0;
  let place = 0;
  let list: ServerList;

  beforeEach(() => {
    nowMs = 0;
    place = 0;
    list = new ServerList({ now: () => nowMs, random: () => place++ });
  });

  const states = () => Object.fromEntries(list.ordered().map(({ address, state }) => [address, state]));
  const order = () => list.ordered().map(({ address }) => address);
  const changesOf = ({ changes }: Effects) => changes.map(({ address, from, to }) => `${address} ${from} ${to}`);
  const cutBy = ({ cut }: Effects) => [...cut].sort();

  function tell(address: string, ...events: ServerEvent[]): Effects {
    const effects = events.map((event) => list.record(address, event));
    return { changes: effects.flatMap(({ changes }) => changes), cut: new Set(effects.flatMap(({ cut }) => [...cut])) };
  }

  function connect(address: string, count = 1): Effects {
    for (let i = 0; i < count; i++) list.opened(address);
    return list.record(address, "dial-ok");
  }

  describe("ServerList.setAddresses()", () => {
    test("begins new servers as unchecked and keeps the state of the others", () => {
      list.setAddresses([A, B]);
      tell(B, "health-ok");
      const effects = list.setAddresses([B, C]);
      assert.deepEqual(states(), { [B]: "recovering", [C]: "unchecked" });
      assert.deepEqual(changesOf(effects), [`${A} unchecked invalid`]);
      assert.deepEqual(cutBy(effects), [A]);
    });

    test("keeps a removed default on standby, and checks it anew when it comes back", () => {
      list.setDefault(A);
      assert.deepEqual(states(), { [A]: "standby" });
      list.setAddresses([A, B]);
      assert.equal(states()[A], "unchecked");
      connect(A);
      assert.deepEqual(cutBy(list.setAddresses([B])), [A]);
      assert.equal(states()[A], "standby");
      assert.deepEqual(cutBy(list.setAddresses([A, B])), []);
      assert.equal(states()[A], "unchecked");
    });
  });

  describe("ServerList.setDefault()", () => {
    test("drops an old default that was only on standby", () => {
      list.setDefault(A);
      assert.deepEqual(cutBy(list.setDefault(B)), [A]);
      assert.deepEqual(states(), { [B]: "standby" });
    });

    test("keeps an old default that is in the list", () => {
      list.setDefault(A);
      list.setAddresses([A]);
      list.setDefault(B);
      assert.deepEqual(states(), { [A]: "unchecked", [B]: "standby" });
      list.setAddresses([C]);
      assert.deepEqual(states(), { [C]: "unchecked", [B]: "standby" });
    });

    test("may leave no server at all", () => {
      list.setDefault(A);
      list.setDefault(undefined);
      assert.deepEqual(order(), []);
    });
  });

  describe("the home of a machine", () => {
    const KEYS = Array.from({ length: 300 }, (_, i) => `node-${i}`);
    /** Where a machine is once all servers of the list have been healthy for long. */
    const homeOf = (homeKey: string, addresses: readonly string[]): string => {
      list = new ServerList({ now: () => nowMs, random: () => 0.5, homeKey });
      list.setAddresses(addresses);
      connect(addresses[0] ?? "");
      for (let second = 0; second < 120; second++, nowMs += 1000) for (const each of addresses) tell(each, "health-ok");
      return order()[0] ?? "";
    };

    test("is another one for other machines, and the same one whatever the order of the list", () => {
      const homes = KEYS.map((key) => homeOf(key, [A, B, C]));
      for (const each of [A, B, C]) assert.ok(homes.filter((home) => home === each).length > 60);
      assert.deepEqual(
        KEYS.map((key) => homeOf(key, [C, A, B])),
        homes,
      );
    });

    test("stays when another server leaves the list", () => {
      for (const key of KEYS.slice(0, 50)) {
        const home = homeOf(key, [A, B, C]);
        if (home !== C) assert.equal(homeOf(key, [A, B]), home);
      }
    });

    test("gets its machine back when it has been healthy for a minute and the machine's own share of another half", () => {
      const homeKey = KEYS.find((key) => homeOf(key, [A, B]) === A) ?? "";
      nowMs = 0;
      list = new ServerList({ now: () => nowMs, random: () => 0.5, homeKey });
      list.setAddresses([A, B]);
      for (const each of [A, B]) tell(each, "health-ok", "health-ok");
      connect(A, 3);
      assert.deepEqual(cutBy(tell(A, "health-failed")), [A]);
      for (let i = 0; i < 3; i++) list.closed(A);
      connect(B, 3);
      tell(A, "health-ok", "health-ok");
      nowMs = 60_001;
      assert.deepEqual(cutBy(tell(A, "health-ok")), []);
      nowMs += 14_999;
      assert.deepEqual(cutBy(tell(A, "health-ok")), []);
      nowMs += 1;
      const effects = tell(A, "health-ok");
      assert.deepEqual(changesOf(effects), [`${B} active preferred`, `${A} healthy active`]);
      assert.deepEqual(cutBy(effects), [B]);
      assert.deepEqual(states(), { [A]: "active", [B]: "preferred" });
    });

    test("is no matter without a key", () => {
      list.setAddresses([A, B]);
      connect(B);
      for (nowMs = 0; nowMs < 300_000; nowMs += 1000) for (const each of [A, B]) tell(each, "health-ok");
      assert.equal(states()[B], "active");
    });
  });

  describe("ServerList.ordered()", () => {
    test("puts better states first, then more connections, then the place drawn", () => {
      list.setDefault(C);
      list.setAddresses([A, B]);
      assert.deepEqual(order(), [A, B, C]);
      list.opened(B);
      assert.deepEqual(order(), [B, A, C]);
      tell(A, "health-ok");
      assert.deepEqual(order(), [A, B, C]);
      tell(A, "dial-failed");
      assert.deepEqual(order(), [B, C, A]);
    });

    test("puts a server that its health check calls failed behind the default, before failed ones", () => {
      list.setDefault(C);
      list.setAddresses([A, B]);
      tell(B, "dial-failed");
      tell(A, "dial-ok", "health-failed");
      assert.equal(states()[A], "recovering");
      assert.deepEqual(order(), [C, A, B]);
      list.trust(A);
      assert.deepEqual(order(), [A, C, B]);
    });
  });

  describe("ServerList.record()", () => {
    test("closes the connections of an active server that fails, by either event", () => {
      for (const event of ["dial-failed", "health-failed"] as const) {
        list.setAddresses([A]);
        connect(A);
        tell(A, "health-ok");
        assert.equal(states()[A], "active");
        assert.deepEqual(cutBy(tell(A, event)), [A]);
        assert.equal(states()[A], "failed");
        list.setAddresses([B]);
      }
    });

    test("leaves the connections of a recovering server that fails", () => {
      list.setAddresses([A]);
      connect(A);
      assert.deepEqual(cutBy(tell(A, "dial-failed")), []);
      assert.equal(states()[A], "failed");
    });

    test("closes the connections of lesser servers when one becomes active", () => {
      list.setDefault(C);
      list.setAddresses([A, B]);
      connect(C);
      connect(B);
      tell(A, "health-ok", "health-ok");
      assert.equal(states()[A], "preferred");
      assert.deepEqual(cutBy(connect(A)), [B, C]);
      assert.equal(states()[A], "active");
    });

    test("makes the active server with fewer connections preferred and closes those", () => {
      list.setAddresses([A, B]);
      for (const address of [A, B]) tell(address, "health-ok", "health-ok");
      connect(A);
      list.opened(B);
      const effects = connect(B);
      assert.deepEqual(changesOf(effects), [`${A} active preferred`, `${B} preferred active`]);
      assert.deepEqual(cutBy(effects), [A]);
    });

    test("refuses to make a server active beside one with more connections", () => {
      list.setAddresses([A, B]);
      for (const address of [A, B]) tell(address, "health-ok", "health-ok");
      connect(A, 2);
      assert.deepEqual(cutBy(connect(B)), [B]);
      assert.deepEqual(states(), { [A]: "active", [B]: "preferred" });
    });

    test("closes what a distrusted server holds as soon as another one answers", () => {
      list.setAddresses([A, B]);
      tell(B, "dial-failed");
      connect(A);
      assert.deepEqual(cutBy(tell(A, "health-failed")), []);
      assert.deepEqual(cutBy(tell(B, "health-ok")), [A]);
    });

    test("changes nothing for a server that was removed meanwhile", () => {
      list.setAddresses([A, B]);
      list.setAddresses([B]);
      const { changes, cut } = connect(A);
      assert.deepEqual([changes, [...cut]], [[], []]);
      assert.deepEqual(states(), { [B]: "unchecked" });
    });

    test("makes a preferred server healthy after a minute of nobody dialling", () => {
      list.setAddresses([A]);
      tell(A, "health-ok", "health-ok");
      nowMs = 60_001;
      tell(A, "health-ok");
      assert.equal(states()[A], "healthy");
    });
  });

  test("a random walk over all events always leaves a server to try and at most one active", () => {
    let seed = 1;
    const draw = (below: number) => {
      seed = (seed * 48_271) % 2_147_483_647;
      return seed % below;
    };
    const addresses = [A, B, C];
    const events = ["dial-ok", "dial-failed", "health-ok", "health-failed"] as const;
    list.setDefault(A);
    for (let i = 0; i < 20_000; i++) {
      const address = addresses[draw(3)] ?? A;
      const action = draw(20);
      nowMs += draw(10_000);
      if (action === 0) list.setAddresses(addresses.filter(() => draw(2) === 0));
      else if (action === 1) list.setDefault(address);
      else if (action < 5) list.closed(address);
      else if (action < 10) connect(address);
      else list.record(address, events[draw(4)] ?? "dial-ok");
      assert.ok(list.ordered().length > 0);
      assert.ok(list.ordered().filter(({ state }) => state === "active").length <= 1);
    }
  });
});
