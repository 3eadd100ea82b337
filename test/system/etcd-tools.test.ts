import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { before, describe, test, after } from "node:test";
import { startEtcd } from "@k3s/testkit";
import { Etcdctl, ETCDCTL_RUNS } from "./etcd-ctl.ts";
import { newerScript, script } from "./etcd-ctl-script.ts";
import { startEtcdApi } from "./etcd-api-on-endpoint.ts";

for (const { name, transport } of ETCDCTL_RUNS)
  describe(`${name} over ${transport}`, () => {
    const undo = new AsyncDisposableStack();
    after(() => undo.disposeAsync());
    let folder = "";
    let endpoint = "";
    before(async () => {
      folder = await mkdtemp(join(tmpdir(), "k3s-etcd-tools-"));
      undo.defer(() => rm(folder, { recursive: true, force: true }));
      const api = undo.use(await startEtcdApi(folder, { transport }));
      endpoint = `127.0.0.1:${api.tcpPort}`;
    });

    test("gets from the store the answers it gets from etcd", async (t) => {
      const etcd = await startEtcd(folder, { program: "etcd-3.5" });
      t.after(() => etcd.program.stop());
      const ours = await Etcdctl.connect(name, endpoint, folder);
      const theirs = await Etcdctl.connect(name, etcd.endpoint, folder);
      for (const step of name === "etcdctl" ? script : [...script, ...newerScript]) {
        const [actual, expected] = await Promise.all([ours.run(step), theirs.run(step)]);
        assert.equal(actual, expected, `etcdctl ${step.args.join(" ")}`);
      }
    });

    test("reports the endpoint's status", async () => {
      const ctl = await Etcdctl.connect(name, endpoint, folder);
      const output = await ctl.run({ args: ["endpoint", "status", "-w", "fields"] });
      assert.match(output, /^"Version" : "3\.6\.11"$/m);
      assert.match(output, /^"DBSize" : [1-9]\d*$/m);
      assert.match(output, /^"RaftIndex" : [1-9]\d*$/m);
      assert.match(output, /^"RaftTerm" : 1$/m);
      const [, member] = /^"MemberID" : (\d+)$/m.exec(output) ?? [];
      const [, leader] = /^"Leader" : (\d+)$/m.exec(output) ?? [];
      assert.equal(leader, member);
    });

    test("lists the one member", async () => {
      const ctl = await Etcdctl.connect(name, endpoint, folder);
      assert.match(await ctl.run({ args: ["member", "list"] }), /^exit 0\nMEMBER, started, node1, , unix:\/\//);
    });

    test("hashes the history", async () => {
      const ctl = await Etcdctl.connect(name, endpoint, folder);
      assert.match(await ctl.run({ args: ["endpoint", "hashkv"] }), /^exit 0\nENDPOINT, [1-9]\d*\n$/);
    });

    for (const [line, what] of [
      ["member add two --peer-urls=http://127.0.0.1:1", "MemberAdd"],
      ["member update {member} --peer-urls=http://127.0.0.1:1", "MemberUpdate"],
      ["user add somebody:secret", "UserAdd"],
      ["role add some", "RoleAdd"],
    ] as const)
      test(`says of ${what} that there is no such thing here`, async () => {
        const ctl = await Etcdctl.connect(name, endpoint, folder);
        const output = await ctl.run({ args: line.split(" ") });
        assert.match(output, new RegExp(`^exit 1\nError: .*etcdserver: ${what} is not available on this datastore\n$`));
      });

    test("defragments", async () => {
      const ctl = await Etcdctl.connect(name, endpoint, folder);
      assert.match(await ctl.run({ args: ["defrag"] }), /Finished defragmenting/);
    });

    test("saves a snapshot, which is a database of SQLite", async () => {
      const ctl = await Etcdctl.connect(name, endpoint, folder);
      const path = join(folder, "snapshot.db");
      assert.match(await ctl.run({ args: ["snapshot", "save", path] }), /^exit 0\n/);
      assert.equal((await readFile(path)).toString("latin1", 0, 16), "SQLite format 3\0");
    });

    test("reaches the store through a relative unix socket", async () => {
      const ctl = await Etcdctl.connect(name, "unix://kine.sock", folder);
      assert.match(await ctl.run({ args: ["put", "/unix", "works"] }), /^exit 0\nOK/);
    });
  });
