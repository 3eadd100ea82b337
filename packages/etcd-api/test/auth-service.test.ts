import assert from "node:assert/strict";
import { test } from "node:test";
import { int64Message, readAnswer, readHeader } from "@k3s/testkit";
import { decodeInto } from "../src/proto/proto-reader.ts";
import { onEachTransport } from "./support/api.ts";

const NONE = Buffer.alloc(0);

onEachTransport((startApi) => {
  test("Auth: it is off, and there are no users and no roles", async (t) => {
    const { client } = await startApi(t);
    const call = async (name: string) => client.call(`/etcdserverpb.Auth/${name}`, NONE);
    const status = decodeInto({ memberId: 0n, isEnabled: false, revision: 0 }, await call("AuthStatus"), {
      1: (m, r) => (m.memberId = readHeader(r.bytes()).memberId),
      2: (m, r) => (m.isEnabled = r.bool()),
      3: (m, r) => (m.revision = r.int64()),
    });
    assert.deepEqual([status.memberId !== 0n, status.isEnabled, status.revision], [true, false, 1]);
    for (const name of ["AuthDisable", "UserList", "RoleList"]) {
      const answer = await call(name);
      assert.equal(readAnswer.header(answer).header?.revision, 1);
      assert.equal(decodeInto({ fields: 0 }, answer, { 2: (m) => m.fields++ }).fields, 0, `${name} lists none`);
    }
  });

  const refusals: readonly (readonly [method: string, code: number, text: string])[] = [
    ["Authenticate", 9, "authentication is not enabled"],
    ["AuthEnable", 9, "root user does not exist"],
    ["UserGrantRole", 9, "user name not found"],
    ["RoleGrantPermission", 9, "role name not found"],
    ["UserAdd", 12, "UserAdd is not available on this datastore"],
    ["RoleAdd", 12, "RoleAdd is not available on this datastore"],
  ];
  for (const [method, code, text] of refusals)
    test(`Auth: ${method} is refused`, async (t) => {
      const { client } = await startApi(t);
      await assert.rejects(client.call(`/etcdserverpb.Auth/${method}`, NONE), { code, details: `etcdserver: ${text}` });
    });

  test("Cluster: another member is not found, and the only one stays as it is", async (t) => {
    const { client } = await startApi(t);
    const list = await client.call("/etcdserverpb.Cluster/MemberList", NONE);
    const memberId = readAnswer.header(list).header?.memberId ?? 0n;
    const ask = async (name: string, id: bigint) =>
      client.call(`/etcdserverpb.${name}`, int64Message({ 1: BigInt.asIntN(64, id) }));
    for (const name of ["MemberRemove", "MemberUpdate", "MemberPromote"])
      await assert.rejects(ask(`Cluster/${name}`, 5n), { code: 5, details: "etcdserver: member not found" });
    const notStarted = "etcdserver: re-configuration failed due to not enough started members";
    await assert.rejects(ask("Cluster/MemberRemove", memberId), { code: 9, details: notStarted });
    const noLearner = "etcdserver: can only promote a learner member";
    await assert.rejects(ask("Cluster/MemberPromote", memberId), { code: 9, details: noLearner });
    await assert.rejects(ask("Cluster/MemberUpdate", memberId), { code: 12 });
    assert.deepEqual(await client.call("/etcdserverpb.Cluster/MemberList", NONE), list);
  });

  test("Maintenance: MoveLeader knows the leader, and nobody else", async (t) => {
    const { client } = await startApi(t);
    const list = await client.call("/etcdserverpb.Cluster/MemberList", NONE);
    const memberId = readAnswer.header(list).header?.memberId ?? 0n;
    const move = async (id: bigint) =>
      client.call("/etcdserverpb.Maintenance/MoveLeader", int64Message({ 1: BigInt.asIntN(64, id) }));
    assert.equal(readAnswer.header(await move(memberId)).header?.memberId, memberId);
    await assert.rejects(move(5n), { code: 9, details: "etcdserver: bad leader transferee" });
  });
});
