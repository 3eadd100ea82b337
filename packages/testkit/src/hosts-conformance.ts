import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { openStore, type Driver, type OpenStore } from "@k3s/datastore";
import { collectLog } from "./collect-log.ts";
import type { FaultProxy } from "./fault-proxy.ts";
import { contents, isUnavailable, rangeOf, write } from "./store-ops.ts";
import { until } from "./until.ts";
import { WatchRecorder } from "./watch-recorder.ts";

/** An endpoint that names two ways to one server. */
interface TwoWays {
  /** As the endpoint names them. */
  readonly ways: readonly [FaultProxy, FaultProxy];
  /** Opens a driver on a new database, by that endpoint. */
  readonly open: () => Promise<Driver>;
}

type MakeTwoWays = (t: TestContext) => Promise<TwoWays>;

interface Ending {
  readonly name: string;
  readonly end: (way: FaultProxy) => Promise<void> | void;
}

const ENDINGS: readonly Ending[] = [
  { name: "refuses connections", end: (way) => way.refuse() },
  { name: "does not answer any more", end: (way) => way.stall() },
];

/** An end of the first way that is there before a store is opened. */
interface Opening extends Ending {
  readonly twoWays: MakeTwoWays;
}

interface Hosts {
  readonly twoWays: MakeTwoWays;
  /** Default: each way to end, on {@link twoWays}. */
  readonly openings?: readonly Opening[];
  /** Which of them is tried first. */
  readonly begins: "with the first" | "with any";
  /** How many connections a driver has. Default: some. */
  readonly connections?: number;
  /** Whether revisions may be left out where a connection was lost. Default false. */
  readonly hasGaps?: boolean;
}

/** That a store opens by, and goes on with, the way to its database that is left, as tests. */
export function hostsConformance(label: string, hosts: Hosts): void {
  describe(`several ${label}`, () => {
    for (const { name, end } of ENDINGS) {
      test(`goes on with the next when the connected one ${name}`, async (t) => {
        const { ways, open } = await hosts.twoWays(t);
        const store = await openOn(t, open);
        const seen = new WatchRecorder(store, rangeOf("/", "0"));
        const a = await untilWritable(store, "/a");
        const [used, other] = inUseFirst(ways, hosts);
        assertInUse(used, hosts);
        assert.equal(other.connections, 0);
        await end(used);
        const b = await untilWritable(store, "/b");
        assertInUse(other, hosts);
        assert.deepEqual(await contents(store), [`/a=1@${a}`, `/b=1@${b}`]);
        if (hosts.hasGaps !== true) assert.deepEqual([a, b], [2, 3]);
        await until("the watch tells both, once", () => Promise.resolve(seen.events.length === 2));
      });
    }

    for (const { name, end, twoWays } of hosts.openings ?? openingsOf(hosts)) {
      test(`opens by the next when ${name}`, async (t) => {
        const { ways, open } = await twoWays(t);
        const [first, second] = ways;
        await end(first);
        await untilWritable(await openOn(t, open), "/a");
        assertInUse(second, hosts);
      });
    }
  });
}

function openingsOf({ begins, twoWays }: Hosts): readonly Opening[] {
  const which = begins === "with any" ? "one" : "the first";
  return ENDINGS.map(({ name, end }) => ({ name: `${which} ${name}`, end, twoWays }));
}

function inUseFirst([first, second]: TwoWays["ways"], { begins }: Hosts): TwoWays["ways"] {
  return begins === "with any" && second.connections > first.connections ? [second, first] : [first, second];
}

function assertInUse(way: FaultProxy, { connections }: Hosts): void {
  if (connections === undefined) assert.ok(way.connections > 0);
  else assert.equal(way.connections, connections);
}

async function openOn(t: TestContext, open: TwoWays["open"]): Promise<OpenStore> {
  const { log } = collectLog();
  const store = await openStore(await open(), { log });
  t.after(() => store.close());
  return store;
}

/** Writes until one succeeds; answers with its revision. */
async function untilWritable(store: OpenStore, key: string): Promise<number> {
  return until(`${key} is written`, async () => {
    try {
      const { succeeded, revision } = await store.txn(write(key, 0, "1"));
      return succeeded && revision;
    } catch (error) {
      assert.ok(isUnavailable(error), String(error));
      return false;
    }
  });
}
