import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { run } from "./cli-process.ts";
import { node, sql } from "./datastore-node.ts";

describe("k3s datastore check", () => {
  test("finds nothing in a datastore that is well", async (t) => {
    const { dataDir, serve, ctl } = await node(t);
    const server = await serve();
    for (const args of [
      ["put", "/a", "1"],
      ["put", "/a", "2"],
      ["del", "/a"],
      ["put", "/a", "3"],
    ])
      await ctl(...args);
    const { code, stdout } = await run(t, ["datastore", "check", `--data-dir=${dataDir}`]);
    assert.equal(code, 0, stdout);
    assert.match(stdout, /nothing is wrong/);
    assert.match(stdout, /checked 5 rows/);
    await server.stop();
  });

  test("finds a row that is missing, with exit code 1", async (t) => {
    const { dataDir, file, serve, ctl } = await node(t);
    const server = await serve();
    for (const value of ["1", "2", "3"]) await ctl("put", "/a", value);
    await server.stop();
    await sql(file, "DELETE FROM kine WHERE id = 3");
    const { code, stdout } = await run(t, ["datastore", "check", `--data-dir=${dataDir}`]);
    assert.equal(code, 1);
    assert.match(stdout, /WRONG: row 4 of "\/a" says that it follows row 3, but row 2 is in between/);
    await sql(file, "DELETE FROM kine WHERE id = 2");
    const again = await run(t, ["datastore", "check", `--data-dir=${dataDir}`]);
    assert.match(again.stdout, /WRONG: row 4 of "\/a" follows row 3, which is missing/);
  });

  test("finds rows that cannot be, of compacted history too", async (t) => {
    const { dataDir, file, serve, ctl } = await node(t);
    const server = await serve();
    for (const key of ["/a", "/b", "/c"]) for (const value of ["1", "2"]) await ctl("put", key, value);
    const [, lease = ""] = /lease ([0-9a-f]+)/.exec(await ctl("lease", "grant", "500")) ?? [];
    await ctl("put", "/d", "1", `--lease=${lease}`);
    await ctl("put", "/e", "1");
    await server.stop();
    const check = async () => (await run(t, ["datastore", "check", `--data-dir=${dataDir}`])).stdout;
    const compact = ["datastore", "compact", `--data-dir=${dataDir}`, "--revision=7"];
    assert.equal((await run(t, compact)).code, 0);
    assert.match(await check(), /nothing is wrong/);
    const cases = [
      [
        "UPDATE kine SET prev_revision = 999, create_revision = 500 WHERE id = 7",
        /row 7 of "\/c" .* row 999, no earlier/,
      ],
      ["SELECT 1", /row 7 of "\/c" says that row 500 created it, a later one/],
      [
        "UPDATE kine SET prev_revision = 3, create_revision = 3 WHERE id = 7",
        /row 7 of "\/c" .* row 3, .* of another key/,
      ],
      ["UPDATE kine SET prev_revision = 6, create_revision = 6 WHERE id = 7", /: nothing is wrong/],
      [
        "INSERT INTO kine_span (first_id, last_id) VALUES (10, 4000000000000000)",
        /: 1 findings\n[^]*a transaction goes from row 10 to row 4000000000000000, and the last row is \d+\n/,
      ],
      ["DELETE FROM kine_span WHERE first_id = 10", /: nothing is wrong/],
      [
        "DELETE FROM kine WHERE name = '/d'",
        /: 1 findings\n[^]*1 rows that had a lease are missing, the first is row \d/,
      ],
    ] as const;
    for (const [statement, finding] of cases) {
      await sql(file, statement);
      assert.match(await check(), finding);
    }
  });
});

describe("k3s datastore check tells what to do about", () => {
  const cases = [
    ["a row that is missing", "DELETE FROM kine WHERE id = 3", /^Restore a backup\. .* write the named keys anew/],
    [
      "a row that a lease names",
      "DELETE FROM kine WHERE id = 6; INSERT INTO kine_lease_row VALUES (6, 1)",
      /^Restore a backup\. .* put back what is/,
    ],
    ["a lease that is missing", "INSERT INTO kine_lease_row VALUES (7, 1)", /^Restart the server: /],
    ["a transaction that ends before it begins", "INSERT INTO kine_span VALUES (2, 5)", /^Restore a backup, or /],
    ["a transaction that has no end", "INSERT INTO kine_span VALUES (4000000000000000, 6)", /^Restore a backup, or /],
    ["markers", "DELETE FROM kine WHERE name = 'compact_rev_key'", /^Start a server on it, or restart/],
    [
      "twice the same",
      "UPDATE kine SET prev_revision = 2 WHERE id = 4",
      /^A server serves .* compact --retain 0\. Restore /,
    ],
  ] as const;
  for (const [name, statement, cure] of cases)
    test(name, async (t) => {
      const { dataDir, file, serve, ctl } = await node(t);
      const server = await serve();
      for (const value of ["1", "2", "3", "4", "5"]) await ctl("put", "/a", value);
      await ctl("put", "/b", "1");
      await server.stop();
      for (const part of statement.split("; ")) await sql(file, part);
      const { code, stdout } = await run(t, ["datastore", "check", `--data-dir=${dataDir}`, "--json"]);
      assert.equal(code, 1, stdout);
      assert.match((JSON.parse(stdout) as { readonly cure: string }).cure, cure);
    });
});
