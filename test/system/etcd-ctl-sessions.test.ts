import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { startEtcd, until } from "@k3s/testkit";
import { startEtcdApi } from "./etcd-api-on-endpoint.ts";
import { ETCDCTL_RUNS } from "./etcd-ctl.ts";
import { Etcdctls } from "./etcd-ctl-session.ts";

/** What happened, as a user sees it. */
type Scenario = (ctl: Etcdctls) => Promise<readonly unknown[]>;

/** Without what is another on each server: ids of leases, in keys and alone, and revisions. */
function plain(text: string): string {
  return text
    .replaceAll(/\b[0-9a-f]{14,16}\b/g, "ID")
    .replaceAll(/(ETCD_LOCK_REV=|progress notify: |compacted revision )\d+/g, "$1N");
}

const SCENARIOS: Readonly<Record<string, Scenario>> = {
  "lock: one holder at a time, in order; Ctrl-C lets the next one in": async (ctl) => {
    const holder = await ctl.start("lock", "door");
    await holder.tells("\n\n"); // its key, and the value, which is empty
    const [key = ""] = await ctl.keysBelow("door");
    assert.equal(holder.output, `${key}\n\n`);
    const second = await ctl.start("lock", "door", "--", "sh", "-c", "env | grep ^ETCD_LOCK");
    await ctl.untilKeys("door", 2);
    const third = await ctl.start("lock", "door", "--", "sh", "-c", "exit 3");
    await ctl.untilKeys("door", 3);
    assert.deepEqual([second.output, third.output], ["", ""], "they wait");
    holder.signal("SIGINT");
    const codes = [await holder.end(), await second.end(), await third.end()];
    assert.match(second.output, /^ETCD_LOCK_KEY=door\/[0-9a-f]+$/m);
    return [codes, plain(second.output), plain(third.output), await ctl.keysBelow("door")];
  },

  "lock: one who is killed holds it until the lease ends, and no longer": async (ctl) => {
    const holder = await ctl.start("lock", "gate", "--ttl=3");
    await holder.tells("\n\n");
    const next = await ctl.start("lock", "gate", "echo", "mine");
    await ctl.untilKeys("gate", 2);
    holder.signal("SIGKILL");
    await holder.end();
    return [await next.end(), next.output, await ctl.keysBelow("gate")];
  },

  "elect: one leader at a time; observers see each, and what it proclaims": async (ctl) => {
    const observer = await ctl.start("elect", "-l", "chair");
    const leader = await ctl.start("elect", "chair", "one");
    await leader.tells("one\n");
    const [key = ""] = await ctl.keysBelow("chair");
    await observer.tells(`${key}\none\n`);
    const next = await ctl.start("elect", "chair", "two");
    await ctl.untilKeys("chair", 2);
    assert.equal(next.output, "", "it waits");
    await ctl.run("put", key, "won", "--ignore-lease"); // as Proclaim does
    await observer.tells(`${key}\nwon\n`);
    leader.signal("SIGINT");
    await next.tells("two\n");
    await observer.tells("two\n");
    next.signal("SIGINT");
    const codes = [await leader.end(), await next.end()];
    observer.signal("SIGTERM");
    await observer.end();
    return [codes, ...[observer, leader, next].map(({ output }) => plain(output)), await ctl.keysBelow("chair")];
  },

  "watch -i: several watches on one stream, progress, and commands that are none": async (ctl) => {
    const session = await ctl.start("watch", "-i");
    session.type("put x");
    await session.tells("only support watch");
    session.type("watch --prefix --prev-kv dir/");
    session.type("watch single");
    // A watch is there when it is told of; the stream tells of its progress only with both of them.
    await until("both watches are there", async () => {
      await ctl.run("put", "dir/probe", "p");
      await ctl.run("put", "single", "p");
      return /dir\/probe/.test(session.output) && session.output.includes("single\np");
    });
    await ctl.run("put", "dir/a", "1");
    await ctl.run("put", "dir/a", "2");
    await ctl.run("del", "dir/a");
    await session.tells("DELETE\ndir/a\n2\ndir/a\n\n");
    await ctl.run("put", "single", "yes");
    await session.tells("single\nyes\n");
    const told = session.output.slice(session.output.indexOf("PUT\ndir/a\n1"));
    session.type("progress");
    await session.tells("progress notify: ");
    const [, at] = /progress notify: (\d+)/.exec(session.output) ?? [];
    const current = await ctl.run("get", "none", "-w", "fields");
    assert.match(current, new RegExp(`^"Revision" : ${at}$`, "m"));
    session.type("watch z a"); // an empty range
    await session.tells("watch was canceled");
    const refusal = session.output.split("\n").find((line) => line.includes("watch was canceled"));
    return [told, refusal, await session.end()];
  },

  "watch with a command: runs it for each event": async (ctl) => {
    const fields = await ctl.run("get", "none", "-w", "fields");
    const from = Number(/^"Revision" : (\d+)$/m.exec(fields)?.[1]) + 1;
    const command = 'echo "$ETCD_WATCH_EVENT_TYPE $ETCD_WATCH_KEY $ETCD_WATCH_VALUE;"';
    const session = await ctl.start("watch", "run/", "--prefix", `--rev=${from}`, "--", "sh", "-c", command);
    await ctl.run("put", "run/a", "1");
    await ctl.run("del", "run/a");
    await session.tells('"DELETE" "run/a" "";');
    session.signal("SIGTERM");
    await session.end();
    return session.output.split("\n").filter((line) => line.endsWith(";"));
  },

  "txn -i: asks for each part": async (ctl) => {
    await ctl.run("put", "t", "old");
    const session = await ctl.start("txn", "-i");
    for (const line of ['value("t") = "old"', "", "put t new", "get t", "", "get none", ""]) session.type(line);
    return [await session.end(), session.output, await ctl.run("get", "t")];
  },

  "lease keep-alive: renews until the lease is gone": async (ctl) => {
    const granted = await ctl.run("lease", "grant", "6");
    const [, id = ""] = /lease ([0-9a-f]+) granted/.exec(granted) ?? [];
    await ctl.run("put", "kept", "x", `--lease=${id}`);
    const session = await ctl.start("lease", "keep-alive", id);
    // The client renews at once and after each third of the time: that is longer than the lease would live by itself.
    await session.tells("keepalived with TTL(6)", 5);
    const kept = await ctl.keysBelow("kept");
    const revoked = await ctl.run("lease", "revoke", id);
    const code = await session.end();
    const lines = new Set(plain(session.output).split("\n"));
    return [kept, plain(revoked), code, [...lines], await ctl.keysBelow("kept")];
  },

  "check datascale: writes its ten thousand keys, compacts, defragments and removes them": async (ctl) => {
    const options = ["--load=s", "--auto-compact", "--auto-defrag"];
    const output = await ctl.run("check", "datascale", ...options);
    const lines = [/^Start data scale check/m, /10000 \/ 10000/, /Compacted with revision \d+$/m, /^Defragmented "/m];
    for (const line of [...lines, /^PASS: Approximate system memory used/m]) assert.match(output, line);
    return [await ctl.keysBelow("/etcdctl-check-datascale/")];
  },

  "compaction --physical: waits for the compaction": async (ctl) => {
    for (const value of ["1", "2", "3"]) await ctl.run("put", "c", value);
    const status = await ctl.run("get", "c", "-w", "fields");
    const at = Number(/^"ModRevision" : (\d+)$/m.exec(status)?.[1]);
    const compacted = await ctl.run("compaction", "--physical", String(at - 1));
    const read = (revision: number) => ctl.run("get", "c", `--rev=${revision}`, "--print-value-only");
    return [plain(compacted), await read(at - 2), await read(at - 1), await read(at)];
  },
};

for (const { name, transport } of ETCDCTL_RUNS)
  describe(`${name} in sessions over ${transport}`, () => {
    const undo = new AsyncDisposableStack();
    after(() => undo.disposeAsync());
    const endpoints = { ours: "", etcd: "" };
    before(async () => {
      const folder = await mkdtemp(join(tmpdir(), "k3s-etcd-ctl-"));
      undo.defer(() => rm(folder, { recursive: true, force: true }));
      const api = undo.use(await startEtcdApi(folder, { transport }));
      endpoints.ours = `127.0.0.1:${api.tcpPort}`;
      const etcd = await startEtcd(folder, { program: "etcd-3.5" });
      undo.defer(() => etcd.program.stop());
      endpoints.etcd = etcd.endpoint;
    });

    for (const [title, play] of Object.entries(SCENARIOS))
      test(title, async (t) => {
        const [actual, expected] = await Promise.all([
          play(new Etcdctls(t, { name, endpoint: endpoints.ours })),
          play(new Etcdctls(t, { name, endpoint: endpoints.etcd })),
        ]);
        assert.deepEqual(actual, expected);
      });

    for (const [from, to] of [
      ["ours", "etcd"],
      ["etcd", "ours"],
    ] as const) {
      const mirrors = [
        { title: "below the same keys", args: ["--prefix=/same/"], source: "/same/", copy: "/same/" },
        {
          title: "below another prefix",
          args: ["--prefix=/from/", `--dest-prefix=/to/${from}/`],
          source: "/from/",
          copy: `/to/${from}/`,
        },
        { title: "without a prefix", args: ["--prefix=/cut/", "--no-dest-prefix"], source: "/cut/", copy: "root/" },
      ];
      for (const { title, args, source, copy } of mirrors)
        test(`make-mirror from ${from} to ${to}, ${title}: what is there, and what changes`, async (t) => {
          const [origin, target] = [
            new Etcdctls(t, { name, endpoint: endpoints[from] }),
            new Etcdctls(t, { name, endpoint: endpoints[to] }),
          ];
          const inner = copy === "root/" ? "root/" : "";
          const put = (key: string, value: string) => origin.run("put", `${source}${inner}${from}/${key}`, value);
          const copied = () => target.run("get", `${copy}${from}/`, "--prefix");
          const shows = (expected: Readonly<Record<string, string>>) => {
            const lines = Object.entries(expected).map(([key, value]) => `${copy}${from}/${key}\n${value}\n`);
            return until(`the mirror shows ${lines.length} keys`, async () => (await copied()) === lines.join(""));
          };
          await put("a", "1");
          await put("b", "2");
          const mirror = await origin.start("make-mirror", ...args, endpoints[to]);
          await shows({ a: "1", b: "2" });
          await put("c", "3");
          await put("a", "one");
          await origin.run("del", `${source}${inner}${from}/b`);
          await shows({ a: "one", c: "3" });
          const both = `${source}${inner}${from}`;
          const session = await origin.start("txn");
          for (const line of ["", `put ${both}/d 4`, `del ${both}/a`, `put ${both}/e 5`, "", ""]) session.type(line);
          assert.equal(await session.end(), 0, session.output);
          await shows({ c: "3", d: "4", e: "5" });
          mirror.signal("SIGTERM");
          await mirror.end();
          assert.equal(mirror.output.replace(/^\d+\n/gm, ""), "", "it complains of nothing");
        });
    }
  });
