import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ownSettings } from "../src/connect-mysql.ts";

/** What a session sets for its consistency with the other nodes of a cluster. */
function clusterSettings(variables: Readonly<Record<string, string>>): readonly string[] {
  const settings = ownSettings({ variables: new Map(Object.entries(variables)) });
  return settings.filter((setting) => /consistency|sync_wait/.test(setting));
}

describe("what a session on a cluster sets, so that it reads what other nodes have acknowledged", () => {
  const cases = [
    { consistency: "EVENTUAL", set: "BEFORE" },
    { consistency: "BEFORE_ON_PRIMARY_FAILOVER", set: "BEFORE" },
    { consistency: "AFTER", set: "BEFORE_AND_AFTER" },
  ];
  for (const { consistency, set } of cases)
    test(`in a replication group whose consistency is ${consistency}: ${set}`, () => {
      const variables = { group_replication_consistency: consistency, group_replication_group_name: "g" };
      assert.deepEqual(clusterSettings(variables), [`SESSION group_replication_consistency='${set}'`]);
    });

  for (const consistency of ["BEFORE", "BEFORE_AND_AFTER"])
    test(`in a replication group whose consistency is ${consistency}: nothing`, () => {
      assert.deepEqual(clusterSettings({ group_replication_consistency: consistency }), []);
    });

  test("on a server that knows no groups: nothing", () => {
    assert.deepEqual(clusterSettings({ version: "10.11.6-MariaDB" }), []);
  });

  test("on Galera: that each statement waits", () => {
    assert.deepEqual(clusterSettings({ wsrep_on: "ON" }), ["SESSION wsrep_sync_wait=7"]);
  });
});
