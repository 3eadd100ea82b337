import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { after, before, describe, test, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { Elected, LeaderElection } from "@k3s/controllers";
import type { KubeClient, KubeObject } from "@k3s/kube-client";
import { createLogger } from "@k3s/log";
import { freezeProcess, until } from "@k3s/testkit";
import { startOnePort, type OnePort } from "./port-6443.ts";

const CANDIDATE = fileURLToPath(new URL("candidate.ts", import.meta.url));
const LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases";
const TIMES = { leaseMs: 45_000, renewMs: 30_000, retryMs: 10 };
const log = createLogger({ level: "error", format: "text", write: (line) => process.stderr.write(line) });
const limit = () => AbortSignal.timeout(60_000);

type Lease = KubeObject & { readonly spec: Readonly<Record<string, string | number>> };

/** A clock that only the test moves. */
class Clock {
  ms = 1_000;
  readonly now = () => this.ms;
}

interface Candidate {
  readonly elected: Elected;
  /** What has happened so far, as `a leads`, `a stops`, over all candidates of a test. */
  readonly events: readonly string[];
  /** Requests of this one fail while it is true. */
  isCut: boolean;
  /** Runs once, before the next change of the lease that this one sends. */
  meanwhile: (() => Promise<unknown>) | undefined;
  /** How often it has asked for the lease, also in vain. */
  readonly asked: number;
}

describe("leader election on a real kube-apiserver", { timeout: 300_000 }, () => {
  let one: OnePort;
  before(async () => {
    one = await startOnePort();
    await one.apiserver.request("POST", "/api/v1/namespaces", { metadata: { name: "kube-system" } });
  });
  after(() => one[Symbol.asyncDispose]());

  const lease = (name: string) => one.client.get<Lease>(`${LEASES}/${name}`, limit());

  function cutClient(candidate: Pick<Candidate, "isCut" | "meanwhile"> & { asked: number }): KubeClient {
    const reach = (): Promise<KubeClient> =>
      candidate.isCut ? Promise.reject(new Error("the API is away")) : Promise.resolve(one.client);
    const client: Pick<KubeClient, "get" | "create" | "patch"> = {
      get: async (path, signal) => {
        candidate.asked += 1;
        return (await reach()).get(path, signal);
      },
      create: async (path, object, signal) => (await reach()).create(path, object, signal),
      patch: async (path, patch, signal) => {
        const { meanwhile } = candidate;
        candidate.meanwhile = undefined;
        await meanwhile?.();
        return (await reach()).patch(path, patch, signal);
      },
    };
    return client as KubeClient; // sound: nothing else of the client is used
  }

  interface Parts {
    readonly identity: string;
    readonly lease: string;
    readonly clock: Clock;
    readonly events: string[];
  }

  async function start(t: TestContext, { identity, lease: name, clock, events }: Parts): Promise<Candidate> {
    const say = (word: string) => {
      events.push(`${identity} ${word}`);
      return Promise.resolve();
    };
    const candidate = { isCut: false, meanwhile: undefined, asked: 0 };
    const client = cutClient(candidate);
    const quiet = createLogger({ level: "error", format: "text", write: () => undefined });
    const election = { client: () => client, name, identity, times: TIMES, now: clock.now, log: quiet };
    const elected = new Elected({
      name: identity,
      election: new LeaderElection(election),
      members: () => [{ name: "member", start: () => say("leads"), stop: () => say("stops") }],
      log: quiet,
    });
    t.after(() => elected.stop(AbortSignal.abort()));
    await elected.start({ signal: t.signal, lost: (error) => log.error({ error }, "lost") });
    return Object.assign(candidate, { elected, events });
  }

  const happens = (events: readonly string[], event: string) =>
    until(event, () => Promise.resolve(events.includes(event)));
  /** Resolves when each has asked for the lease, and done with the answer what follows from it, since the call. */
  const round = async (...candidates: readonly Candidate[]) => {
    const before = candidates.map(({ asked }) => asked);
    const isOver = () => candidates.every(({ asked }, index) => asked >= (before[index] ?? 0) + 2);
    await until("each has asked", () => Promise.resolve(isOver()));
  };

  test("the record is that of client-go", async (t) => {
    const events: string[] = [];
    await start(t, { identity: "a", lease: "record", clock: new Clock(), events });
    await happens(events, "a leads");
    const { spec } = await lease("record");
    assert.deepEqual(Object.keys(spec).sort(), [
      ...["acquireTime", "holderIdentity", "leaseDurationSeconds", "leaseTransitions", "renewTime"],
    ]);
    assert.deepEqual([spec["holderIdentity"], spec["leaseDurationSeconds"], spec["leaseTransitions"]], ["a", 45, 0]);
    assert.match(String(spec["renewTime"]), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
  });

  test("of two that begin at once one leads; when it is stopped, the other does without delay", async (t) => {
    const [events, clock] = [[] as string[], new Clock()];
    const both = { lease: "two", clock, events };
    const candidates = await Promise.all([start(t, { ...both, identity: "a" }), start(t, { ...both, identity: "b" })]);
    await until("one leads", () => Promise.resolve(events.length > 0));
    await round(...candidates);
    assert.equal(events.length, 1, events.join());
    const [first, second] = events[0] === "a leads" ? ["a", "b"] : ["b", "a"];
    await candidates[first === "a" ? 0 : 1].elected.stop(AbortSignal.timeout(5_000));
    await happens(events, `${second} leads`);
    assert.deepEqual(events, [`${first} leads`, `${first} stops`, `${second} leads`]);
    assert.equal((await lease("two")).spec["leaseTransitions"], 1);
  });

  test("a renewal that arrives late does not keep the lease from being given up", async (t) => {
    const events: string[] = [];
    const a = await start(t, { identity: "a", lease: "late", clock: new Clock(), events });
    await happens(events, "a leads");
    const stopped = a.elected.stop(AbortSignal.timeout(5_000));
    const body = { spec: { renewTime: "2026-01-01T00:00:00.000000Z" } };
    a.meanwhile = () => one.client.patch(`${LEASES}/late`, { type: "merge", body }, limit());
    await stopped;
    assert.equal(a.meanwhile, undefined);
    assert.equal((await lease("late")).spec["holderIdentity"], "");
  });

  test("whoever cannot renew stops before the other begins, also if their clocks differ", async (t) => {
    const events: string[] = [];
    const [clockOfA, clockOfB] = [new Clock(), new Clock()];
    clockOfB.ms = 9_000_000;
    const a = await start(t, { identity: "a", lease: "cut", clock: clockOfA, events });
    await happens(events, "a leads");
    const b = await start(t, { identity: "b", lease: "cut", clock: clockOfB, events });
    await round(a, b);
    for (let i = 0; i < 3; i++) {
      clockOfA.ms += 20_000;
      clockOfB.ms += 20_000;
      await round(a);
      await round(b);
    }
    assert.deepEqual(events, ["a leads"]);
    a.isCut = true;
    await round(a);
    await round(b);
    const { spec } = await lease("cut");
    clockOfA.ms += 30_000;
    clockOfB.ms += 30_000;
    await happens(events, "a stops");
    assert.equal((await lease("cut")).spec["renewTime"], spec["renewTime"]);
    assert.deepEqual(events, ["a leads", "a stops"]);
    clockOfB.ms += 45_000;
    await happens(events, "b leads");
    a.isCut = false;
    await round(a, b);
    assert.deepEqual(events, ["a leads", "a stops", "b leads"]);
  });

  test("a lease that is taken away ends the term", async (t) => {
    const events: string[] = [];
    await start(t, { identity: "a", lease: "taken", clock: new Clock(), events });
    await happens(events, "a leads");
    const body = { spec: { holderIdentity: "somebody", leaseDurationSeconds: 3600 } };
    await one.client.patch(`${LEASES}/taken`, { type: "merge", body }, limit());
    await happens(events, "a stops");
    assert.equal((await lease("taken")).spec["holderIdentity"], "somebody");
  });

  interface Process {
    readonly child: ChildProcess;
    readonly pid: number;
    readonly words: string[];
  }

  function fork(t: TestContext, name: string, identity: string): Process {
    const { cert, key } = one.tls.clientAdmin;
    const args = [`https://127.0.0.1:${one.apiserver.port}`, one.tls.serverCa.cert, cert, key, name, identity];
    const child = spawn(process.execPath, [CANDIDATE, ...args], { stdio: ["ignore", "pipe", "ignore"] });
    t.after(() => child.kill("SIGKILL"));
    const words: string[] = [];
    child.stdout.on("data", (chunk: Buffer) => words.push(...chunk.toString().trim().split("\n")));
    assert.ok(child.pid);
    return { child, pid: child.pid, words };
  }

  const leads = ({ words }: Process) => until("it leads", () => Promise.resolve(words.at(-1) === "leads"));

  test("another takes over from one that is killed", async (t) => {
    const first = fork(t, "killed", "a");
    await leads(first);
    const second = fork(t, "killed", "b");
    first.child.kill("SIGKILL");
    await leads(second);
  });

  test("another takes over from one that is frozen, which stops when it wakes up", async (t) => {
    const first = fork(t, "frozen", "a");
    await leads(first);
    const second = fork(t, "frozen", "b");
    await freezeProcess(first.pid);
    await leads(second);
    first.child.kill("SIGCONT");
    await until("it stops", () => Promise.resolve(first.words.includes("stops")));
  });

  test("one that ends in order leaves the lease to the next", async (t) => {
    const first = fork(t, "ended", "a");
    await leads(first);
    first.child.kill("SIGTERM");
    await once(first.child, "close"); // upon "exit" its last words may not have been read yet
    assert.equal(first.words.at(-1), "stops");
    assert.equal((await lease("ended")).spec["holderIdentity"], "");
  });
});
