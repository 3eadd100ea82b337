import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { nextTurn } from "@k3s/async";
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

  const accepted = { kind: "accepted", user: { name: "server", uid: "server", groups: ["k3s:server"] } };
  const RIGHT_AT_ONCE = 20;
  const GUESSERS = 32;

  test("rejects a wrong password, also after the right one, and does not know others", async () => {
    const authenticator = new PasswordAuthenticator(entries);
    assert.deepEqual(await authenticator.check("server", "s3cret"), accepted);
    assert.deepEqual(await authenticator.check("server", "wrong"), { kind: "rejected" });
    assert.deepEqual(await authenticator.check("nobody", "s3cret"), { kind: "unknown" });
    assert.deepEqual(await authenticator.check("empty", ""), { kind: "unknown" });
  });

  test("accepts twenty first logins at once", async () => {
    const authenticator = new PasswordAuthenticator(entries);
    const logins = Array.from({ length: RIGHT_AT_ONCE }, () => authenticator.check("server", "s3cret"));
    for (const verdict of await Promise.all(logins)) assert.deepEqual(verdict, accepted);
  });

  test("accepts first logins in a storm of guesses", async () => {
    const authenticator = new PasswordAuthenticator(entries);
    let isOver = false;
    const guess = async () => {
      const kinds = new Set<string>();
      while (!isOver) {
        kinds.add((await authenticator.check("server", "wrong")).kind);
        await nextTurn();
      }
      return kinds;
    };
    const guessers = Array.from({ length: GUESSERS }, guess);
    await nextTurn();
    for (let count = 0; count < RIGHT_AT_ONCE; count++) {
      assert.deepEqual(await authenticator.check("server", "s3cret"), accepted);
      await nextTurn();
    }
    isOver = true;
    const kinds = new Set((await Promise.all(guessers)).flatMap((found) => [...found]));
    assert.deepEqual(kinds, new Set(["busy", "rejected"]));
  });

  test("lets few guesses wait, and turns none away once the queue is empty", async () => {
    const authenticator = new PasswordAuthenticator(entries, 2);
    const guesses = ["a", "b", "c", "d"].map((guess) => authenticator.check("server", guess));
    const kinds = (await Promise.all(guesses)).map(({ kind }) => kind);
    assert.deepEqual(kinds, ["rejected", "rejected", "busy", "busy"]);
    assert.deepEqual(await authenticator.check("server", "e"), { kind: "rejected" });
  });
});
