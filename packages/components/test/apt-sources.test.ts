import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { withSourcePackages } from "../src/apt-sources.ts";

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
