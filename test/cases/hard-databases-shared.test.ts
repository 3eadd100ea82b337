import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { sleep } from "@k3s/async";
import { until } from "@k3s/testkit";
import { checkRound, formatFinding } from "../consistency/campaign.ts";
import { ownTraits, type EndpointTraits } from "../consistency/history/endpoint-traits.ts";
import type { WatchEvent } from "../consistency/history/watch-session.ts";
import type { History } from "../consistency/history/history.ts";
import { Random } from "../consistency/traffic/random.ts";
import type { RoundOptions } from "../consistency/traffic/round.ts";
import { CaseClient } from "./support/case-client.ts";
import { DATABASE_SERVERS, databasesForFile } from "./support/databases.ts";
import { KineGuest } from "./support/databases-guest.ts";
import { ServedDatastore } from "./support/databases-served.ts";

const PAUSE_MS = 5000;
const SETTLE_MS = 300;
/** Traffic that says something. A server that stands still may have the one lock, for three seconds. */
const REVISIONS_MIN = 100;
/** Which of a key's versions it is, is known only to the server that saw it made. */
const traits: EndpointTraits = {
  ...{ ...ownTraits, versions: "lost-by-restart", servers: "several" },
  revisions: "with-holes", // a kine beside us burns ids
};
const bucketTraits: EndpointTraits = { ...traits, history: "bounded" };

const database = databasesForFile([...DATABASE_SERVERS, "SQLite"]);

/** Traffic on all servers, the last of which stands still for a while. Everything that etcd promises has to hold. */
async function assertKept(
  {
    t,
    name,
    servers,
  }: { readonly t: TestContext; readonly name: string; readonly servers: readonly ServedDatastore[] },
  seed: number,
  changes: Partial<RoundOptions>,
): Promise<History> {
  const [first, ...others] = servers.map(({ target }) => target);
  const paused = servers.at(-1);
  if (first === undefined || paused === undefined) throw new Error("Cannot begin: there is no server");
  const client = new CaseClient(t, first);
  const harm = async () => {
    const enough = (await client.revision()) + REVISIONS_MIN;
    await sleep(SETTLE_MS);
    paused.pause();
    await sleep(PAUSE_MS);
    paused.resume();
    await sleep(SETTLE_MS);
    await until("enough is written", async () => (await client.revision()) >= enough);
  };
  const target = { targets: [first, ...others] as const, traits: name === "NATS" ? bucketTraits : traits };
  const finding = await checkRound(target, seed, { harm, ...changes });
  assert.ok(finding.violations.length === 0, formatFinding(finding));
  return finding.history;
}

async function startTwo(t: TestContext, endpoint: string): Promise<ServedDatastore[]> {
  return [await ServedDatastore.start(t, endpoint), await ServedDatastore.start(t, endpoint)];
}

function identity({ type, kv }: WatchEvent): string {
  return `${kv.mod} ${type} ${kv.key}=${kv.value}`;
}

/** By revision, each event once. */
function ordered(events: readonly WatchEvent[]): WatchEvent[] {
  const once = new Map(events.map((event) => [identity(event), event]));
  return [...once.values()].sort((a, b) => a.kv.mod - b.kv.mod);
}

/** What the watch on everything that a server has kept up was told. */
function eventsOf({ sessions }: History, watcher: string) {
  return sessions
    .filter((session) => session.watcher === watcher)
    .flatMap(({ messages }) => messages.flatMap(({ events }) => events));
}

for (const [index, name] of DATABASE_SERVERS.entries()) {
  describe(`hard case 36, two servers, one DB: ${name}`, () => {
    test(`O8 two servers, one DB, ${name}: linearizable, complete watches on both while one is stopped for 5 s`, async (t) => {
      const servers = await startTwo(t, database(name).endpoint("ours"));
      const history = await assertKept({ t, name, servers }, 360 + index, {});
      const [one, other] = [eventsOf(history, "watcher0"), eventsOf(history, "watcher1")];
      assert.ok(one.length > 50, `too little was written: ${one.length}`);
      assert.deepEqual(other, ordered(other), "the other one's watch is not in order");
      const told = new Set(one.map(identity));
      const last = one.at(-1)?.kv.mod ?? 0;
      const unknown = other.filter((event) => event.kv.mod <= last && !told.has(identity(event)));
      assert.deepEqual(unknown, []);
    });
  });
}

for (const [index, name] of (["MariaDB", "PostgreSQL", "SQLite"] as const).entries()) {
  describe(`hard case 36, a kine and we, one DB: ${name}`, () => {
    test(`O9 mixed with a running kine on ${name}: linearizable, both sides' watches tell all of it in order`, async (t) => {
      const served = await ServedDatastore.start(t, database(name).endpoint("mixed"));
      const guest = new KineGuest(database(name), "mixed", new Random(index));
      t.after(() => guest[Symbol.asyncDispose]());
      await guest.start();
      const history = await assertKept({ t, name, servers: [served] }, 370 + index, {
        guest,
        etcdClients: 0,
        kubernetesClients: 6,
      });
      const ours = eventsOf(history, "watcher0").map(
        ({ type, kv, prevKv }) => `${type} ${kv.key}=${kv.value} was ${prevKv?.value ?? ""}`,
      );
      const theirs = guest.events.map(({ name: key, kind, value, prevValue }) => {
        const shown = key === "compact_rev_key_apiserver" ? "compact_rev_key" : key;
        return `${kind === "delete" ? "delete" : "put"} ${shown}=${kind === "delete" ? "" : value} was ${prevValue}`;
      });
      const ofKeys = (lines: readonly string[]) => lines.filter((line) => !line.includes("compact_rev_key"));
      assert.deepEqual(ofKeys(theirs).slice(0, ofKeys(ours).length), ofKeys(ours));
      assert.ok(history.operations.some(({ client, outcome }) => client.startsWith("kine") && outcome.kind === "ok"));
    });
  });
}
