import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ofOtherSuite, withSourcePackages } from "../src/apt-sources.ts";

describe("withSourcePackages()", () => {
  test("adds sources to deb822 entries and keeps keys, mirrors and comments out of the way", () => {
    const text = [
      "# written by the installer",
      "Types: deb",
      "# URIs: http://old.example/debian",
      "URIs: mirror+file:/etc/apt/mirrors/debian.list",
      "Suites: bookworm bookworm-updates",
      "Components: main",
      "Signed-By: /usr/share/keyrings/archive.gpg",
      "",
      "Types: deb deb-src",
      "URIs: http://mirror.example/security",
      "Suites: bookworm-security",
      "Components: main contrib",
    ].join("\n");
    const { list, sources } = withSourcePackages([{ format: "sources", text }], "bookworm");
    assert.equal(list, "");
    assert.deepEqual(
      sources.split("\n\n").map((stanza) => stanza.trim().split("\n")),
      [
        [
          "Types: deb deb-src",
          "URIs: mirror+file:/etc/apt/mirrors/debian.list",
          "Suites: bookworm bookworm-updates",
          "Components: main",
          "Signed-By: /usr/share/keyrings/archive.gpg",
        ],
        [
          "Types: deb deb-src",
          "URIs: http://mirror.example/security",
          "Suites: bookworm-security",
          "Components: main contrib",
        ],
      ],
    );
  });

  test("keeps a key that is written into the stanza", () => {
    const key = "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n -----END PGP PUBLIC KEY BLOCK-----";
    const text = `Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm\nComponents: main\n${key}\n`;
    assert.ok(withSourcePackages([{ format: "sources", text }], "bookworm").sources.includes(key));
  });

  test("leaves out what is switched off, other suites, and entries that have sources only", () => {
    const entry = (types: string, suites: string, extra = "") =>
      `Types: ${types}\nURIs: http://mirror.example/debian\nSuites: ${suites}\nComponents: main\n${extra}`;
    const text = [
      entry("deb", "bookworm", "Enabled: no\n"),
      entry("deb", "trixie"),
      entry("deb", "bookworm-backports"),
      entry("deb-src", "bookworm"),
    ].join("\n");
    assert.deepEqual(withSourcePackages([{ format: "sources", text }], "bookworm"), { list: "", sources: "" });
  });

  test("drops only the other suites of an entry that names several", () => {
    const text =
      "Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm bookworm-backports\nComponents: main\n";
    const { sources } = withSourcePackages([{ format: "sources", text }], "bookworm");
    assert.match(sources, /^Suites: bookworm$/m);
  });

  test("doubles one-line entries with their options", () => {
    const text = [
      "deb [signed-by=/etc/key.gpg arch=amd64] https://mirror.example/debian bookworm main contrib # ours",
      "deb http://mirror.example/debian bookworm-updates main",
      "deb-src http://mirror.example/debian bookworm main",
      "# deb http://old.example/debian bookworm main",
      "deb https://apt.vendor.example stable main",
    ].join("\n");
    const { list, sources } = withSourcePackages([{ format: "list", text }], "bookworm");
    assert.equal(sources, "");
    assert.deepEqual(list.trimEnd().split("\n"), [
      "deb [signed-by=/etc/key.gpg arch=amd64] https://mirror.example/debian bookworm main contrib",
      "deb-src [signed-by=/etc/key.gpg arch=amd64] https://mirror.example/debian bookworm main contrib",
      "deb http://mirror.example/debian bookworm-updates main",
      "deb-src http://mirror.example/debian bookworm-updates main",
    ]);
  });
});

describe("ofOtherSuite()", () => {
  const KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";

  test("names the other suite in the archives that hold the machine's own, and nothing beside it", () => {
    const text = [
      "Types: deb",
      "URIs: mirror+file:/etc/apt/mirrors/debian.list",
      "Suites: bookworm bookworm-updates",
      "Components: main",
      "",
      "Types: deb",
      "URIs: http://mirror.example/security",
      "Suites: bookworm-security",
      "Components: main",
    ].join("\n");
    const { list, sources } = ofOtherSuite([{ format: "sources", text }], "bookworm", "trixie");
    assert.equal(list, "");
    assert.deepEqual(sources.trimEnd().split("\n"), [
      "Types: deb",
      "URIs: mirror+file:/etc/apt/mirrors/debian.list",
      "Components: main",
      "Suites: trixie",
      `Signed-By: ${KEYRING}`,
    ]);
  });

  test("trusts Debian's keyring alone, whatever the machine trusts for its own suite", () => {
    const key = "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n -----END PGP PUBLIC KEY BLOCK-----";
    const trust = `Trusted: yes\nAllow-Insecure: yes\nCheck-Valid-Until: no\n${key}`;
    const text = `Types: deb\nURIs: http://mirror.example/debian\nSuites: bookworm\nComponents: main\n${trust}\n`;
    const { sources } = ofOtherSuite([{ format: "sources", text }], "bookworm", "trixie");
    assert.deepEqual(sources.trimEnd().split("\n"), [
      "Types: deb",
      "URIs: http://mirror.example/debian",
      "Components: main",
      "Check-Valid-Until: no",
      "Suites: trixie",
      `Signed-By: ${KEYRING}`,
    ]);
  });

  test("does the same with one-line entries", () => {
    const text = [
      "deb [ arch=amd64 signed-by=/etc/key.gpg trusted=yes allow-weak=yes ] https://mirror.example/debian bookworm main contrib",
      "deb http://other.example/debian bookworm main",
      "deb http://mirror.example/debian bookworm-updates main",
      "deb https://apt.vendor.example stable main",
    ].join("\n");
    const { list, sources } = ofOtherSuite([{ format: "list", text }], "bookworm", "trixie");
    assert.equal(sources, "");
    assert.deepEqual(list.trimEnd().split("\n"), [
      `deb [arch=amd64 signed-by=${KEYRING}] https://mirror.example/debian trixie main contrib`,
      `deb [signed-by=${KEYRING}] http://other.example/debian trixie main`,
    ]);
  });

  test("is empty where no archive holds the machine's own suite", () => {
    const text = "deb http://mirror.example/debian bookworm-updates main\ndeb http://mirror.example/debian sid main\n";
    assert.deepEqual(ofOtherSuite([{ format: "list", text }], "bookworm", "trixie"), { list: "", sources: "" });
  });
});
