import assert from "node:assert/strict";
import { test } from "node:test";
import { StoreError } from "@k3s/datastore";
import { Code, RpcError } from "../src/rpc-error.ts";

test("RpcError.ofStore() names cause and cure of what the database can never hold, and of nothing else", () => {
  const cause = "Cannot write row 5: the table ends at 4; stop all servers and run: ALTER";
  const refused = RpcError.ofStore(new StoreError("refused", cause));
  assert.deepEqual(
    [refused.code, refused.message],
    [Code.failedPrecondition, `etcdserver: the database cannot hold this change: ${cause}`],
  );
  const away = RpcError.ofStore(new StoreError("unavailable", "Cannot use datastore: it is away"));
  assert.deepEqual([away.code, away.message], [Code.unavailable, "etcdserver: request timed out"]);
});
