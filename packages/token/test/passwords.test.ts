import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { hashPassword, matchesHash, PasswordAuthenticator } from "../src/index.ts";

const PASSWORD = "0123456789abcdef0123456789abcdef";
const HASH =
  "$1:0001020304050607:15:8:1:HLE8J14CCCbzk09wlp3mpFzp+VYtwpOo9fvgeCuGWs9dv48cuQRRDacFx+hZcdkDMpQm4DrP59P/LQRom0NqgQ";

describe("hashPassword()", () => {
  test("writes upstream's form", async () => {
    assert.equal(await hashPassword(PASSWORD, Buffer.from("0001020304050607", "hex")), HASH);
  });
  test("takes another salt each time", async () => {
    assert.notEqual(await hashPassword(PASSWORD), await hashPassword(PASSWORD));
  });
});

describe("matchesHash()", () => {
  test("knows the right password from a wrong one", async () => {
    assert.equal(await matchesHash(PASSWORD, HASH), true);
    assert.equal(await matchesHash(`${PASSWORD}x`, HASH), false);
  });
  for (const hash of ["", "plain", HASH.replace("$1", "$2"), HASH.replace(":15:", ":20:"), HASH.slice(0, -10)]) {
    test(`matches nothing with ${hash.slice(0, 30)}`, async () =>
      assert.equal(await matchesHash(PASSWORD, hash), false));
  }
});

describe("PasswordAuthenticator", () => {
  const entries = [
    { password: "s3cret", user: "server", uid: "server", groups: ["k3s:server"] },
    { password: "", user: "empty", uid: "empty", groups: ["k3s:server"] },
  ];

  test("accepts the right password with the user's groups, again without hashing", async () => {
    const authenticator = await PasswordAuthenticator.create(entries);
    const accepted = { kind: "accepted", user: { name: "server", uid: "server", groups: ["k3s:server"] } };
    assert.deepEqual(await authenticator.check("server", "s3cret"), accepted);
    const startedAt = performance.now();
    for (let count = 0; count < 500; count++) assert.deepEqual(await authenticator.check("server", "s3cret"), accepted);
    assert.ok(performance.now() - startedAt < 5000, "500 slow hashes would take half a minute at least");
  });

  test("rejects a wrong password, also after the right one, and does not know others", async () => {
    const authenticator = await PasswordAuthenticator.create(entries);
    await authenticator.check("server", "s3cret");
    assert.deepEqual(await authenticator.check("server", "wrong"), { kind: "rejected" });
    assert.deepEqual(await authenticator.check("nobody", "s3cret"), { kind: "unknown" });
    assert.deepEqual(await authenticator.check("empty", ""), { kind: "unknown" });
  });

  test("turns strangers away when too many wait, and never who is known", async () => {
    const authenticator = await PasswordAuthenticator.create(entries, 2);
    await authenticator.check("server", "s3cret");
    const guesses = ["a", "b", "c", "d"].map((guess) => authenticator.check("server", guess));
    assert.equal((await authenticator.check("server", "s3cret")).kind, "accepted");
    const kinds = (await Promise.all(guesses)).map(({ kind }) => kind);
    assert.deepEqual(kinds, ["rejected", "rejected", "busy", "busy"]);
    assert.deepEqual(await authenticator.check("server", "e"), { kind: "rejected" }, "the queue empties");
  });
});
