import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, test } from "node:test";
import { settingEntries } from "@k3s/config";
import { NodeError } from "@k3s/errors";
import { PreflightError } from "../src/errors.ts";
import { failureFields, formatFailure } from "../src/format-failure.ts";
import { arrangeGlobalFlags } from "../src/global-flags.ts";
import { checkIdentity } from "../src/preflight/check-identity.ts";
import { nodeCommand, normalizeArguments } from "../src/node-flags.ts";
import { run, temporaryFolder } from "./cli-process.ts";
import { writeComponentFolder } from "./component-folder.ts";

describe("formatFailure()", () => {
  test("shows message, code and hint of the outermost error that has them", () => {
    const inner = new NodeError("ERR_INNER", "Cannot read x: absent", { hint: "Make it" });
    const outer = new Error("Cannot start component", { cause: inner });
    assert.equal(
      formatFailure(outer),
      "Error: Cannot start component: Cannot read x: absent\nCode:  ERR_INNER\nHint:  Make it\n",
    );
    assert.deepEqual(failureFields(outer), { error: outer, code: "ERR_INNER", hint: "Make it" });
  });

  test("shows a bug by its message alone, and no secrets", () => {
    assert.equal(formatFailure(new TypeError("x is not a function")), "Error: x is not a function\n");
    assert.doesNotMatch(formatFailure(new Error("mysql://root:hunter2@db refused")), /hunter2/);
    assert.deepEqual(failureFields("text"), { error: "text" });
  });
});

describe("normalizeArguments()", () => {
  const cases = [
    [
      ["-data-dir", "/x"],
      ["--data-dir", "/x"],
    ],
    [["-data-dir=/x"], ["--data-dir=/x"]],
    [["-t=secret"], ["-t", "secret"]],
    [
      ["-v", "4"],
      ["-v", "4"],
    ],
    [
      ["--kubelet-arg", "-v=4", "-d=/x"],
      ["--kubelet-arg", "-v=4", "-d", "/x"],
    ],
    [
      ["--debug", "-t=x"],
      ["--debug", "-t", "x"],
    ],
    [["-unknown=1"], ["-unknown=1"]],
    [["--token=a=b"], ["--token=a=b"]],
    [
      ["server", "--token"],
      ["server", "--token"],
    ],
  ] as const;
  for (const [given, expected] of cases) {
    test(given.join(" "), () => assert.deepEqual(normalizeArguments(given), expected));
  }
});

describe("nodeCommand(): what it records", () => {
  const recordedOf = async (args: readonly string[]) => {
    let recorded: readonly string[] = [];
    const command = nodeCommand("server", (parsed) => {
      recorded = parsed.recorded;
      return Promise.resolve();
    });
    await command.parseAsync([...normalizeArguments(args)], { from: "user" });
    return recorded;
  };

  for (const [name, setting] of settingEntries.filter(([, { secret }]) => secret === true)) {
    const { short } = setting;
    const long = [[`--${name}`, "hunter2"], [`--${name}=hunter2`], [`-${name}`, "hunter2"], [`-${name}=hunter2`]];
    const brief = short === undefined ? [] : [[`-${short}`, "hunter2"], [`-${short}=hunter2`], [`-${short}hunter2`]];
    for (const args of [...long, ...brief]) {
      test(`masks ${args.join(" ")}`, async () => {
        assert.deepEqual(await recordedOf(["--debug", ...args, "-v=4"]), [
          ...["--debug", "true", `--${name}`, "********"],
          ...["-v", "4"],
        ]);
      });
    }
  }

  test("holds every setting whose name says that it is a secret", () => {
    const suspects = settingEntries.filter(([name]) => /token$|password|secret|endpoint|auth$|key$/.test(name));
    assert.deepEqual(
      suspects.filter(([, { secret }]) => secret !== true).map(([name]) => name),
      [],
    );
    assert.ok(suspects.length >= 3);
  });
});

describe("arrangeGlobalFlags()", () => {
  test("puts flags before the command behind it", () => {
    assert.deepEqual(
      arrangeGlobalFlags(["--debug", "-d", "/x", "--data-dir=/y", "server", "--debug=false", "-d", "/z"]),
      {
        command: "server",
        args: ["--debug=false", "-d", "/z"],
        globals: ["--debug", "-d", "/x", "--data-dir=/y"],
      },
    );
    assert.deepEqual(arrangeGlobalFlags(["--version"]), { command: "--version", args: [], globals: [] });
    assert.deepEqual(arrangeGlobalFlags([]), { command: undefined, args: [], globals: [] });
  });
});

describe("checkIdentity()", () => {
  const code = (facts: Parameters<typeof checkIdentity>[1]) => {
    try {
      checkIdentity("server", facts);
      return undefined;
    } catch (error) {
      return error instanceof PreflightError ? error.code : error;
    }
  };
  const fine = { uid: 0, nowMs: Date.UTC(2026, 0) };

  test("refuses other users, and a clock that was never set", () => {
    assert.equal(code(fine), undefined);
    assert.equal(code({ ...fine, uid: 1000 }), "ERR_NOT_ROOT");
    assert.equal(code({ ...fine, nowMs: Date.UTC(1979, 11, 31) }), "ERR_CLOCK");
    assert.equal(code({ ...fine, nowMs: Date.UTC(1980, 0, 1) }), undefined);
  });
});

/** A little ELF file with one section, .go.buildinfo, and one segment that maps the whole file at 0x400000. */
function goProgram(version: string, form: "inline" | "pointer"): Buffer {
  const file = Buffer.alloc(0x400);
  file.write("\x7fELF\x02\x01\x01", 0, "latin1");
  file.writeBigUInt64LE(0x40n, 32); // program headers
  file.writeBigUInt64LE(0x80n, 40); // section headers
  for (const [value, at] of [
    [56, 54],
    [1, 56],
    [64, 58],
    [3, 60],
    [2, 62],
  ] as const)
    file.writeUInt16LE(value, at);
  file.writeUInt32LE(1, 0x40); // PT_LOAD
  for (const [value, at] of [
    [0n, 8],
    [0x400000n, 16],
    [0x400n, 32],
  ] as const)
    file.writeBigUInt64LE(value, 0x40 + at);
  const section = (index: number, place: { name: number; offset: number; size: number }) => {
    file.writeUInt32LE(place.name, 0x80 + index * 64);
    file.writeBigUInt64LE(BigInt(place.offset), 0x80 + index * 64 + 24);
    file.writeBigUInt64LE(BigInt(place.size), 0x80 + index * 64 + 32);
  };
  section(1, { name: 1, offset: 0x200, size: 0x80 });
  section(2, { name: 0, offset: 0x180, size: 0x20 });
  file.write("\0.go.buildinfo\0", 0x180, "latin1");
  file.write("\xff Go buildinf:\x08", 0x200, "latin1");
  if (form === "inline") {
    file[0x20f] = 2;
    file[0x220] = version.length;
    file.write(version, 0x221);
  } else {
    file.writeBigUInt64LE(0x400300n, 0x210);
    file.writeBigUInt64LE(0x400320n, 0x300);
    file.writeBigUInt64LE(BigInt(version.length), 0x308);
    file.write(version, 0x320);
  }
  return file;
}

describe("k3s --version", () => {
  for (const [form, version] of [
    ["inline", "go1.24.4"],
    ["pointer", "go1.15.15"],
  ] as const) {
    test(`prints the two lines that tools parse, with a Go version stored ${form}`, async (t) => {
      const folder = await temporaryFolder(t);
      await writeComponentFolder(folder, "#!/bin/sh\n");
      await writeFile(join(folder, "bin/kube-apiserver"), goProgram(version, form));
      for (const flag of ["--version", "-v"]) {
        const { code, stdout } = await run(t, [flag], { env: { K3S_COMPONENTS_DIR: folder } });
        assert.equal(code, 0);
        const [first = "", second = "", ...rest] = stdout.split("\n");
        assert.match(first, /^k3s version v1\.20\.2\+k3s\S* \(\w{1,8}\)$/);
        assert.match(second, new RegExp(`^go version ${version.replaceAll(".", "\\.")}\\b`));
        assert.deepEqual(rest, [""]);
      }
    });
  }

  test("does not know the Go version of what is no Go program", async (t) => {
    const folder = await temporaryFolder(t);
    await writeComponentFolder(folder, "#!/bin/sh\n");
    const { stdout } = await run(t, ["--version"], { env: { K3S_COMPONENTS_DIR: folder } });
    assert.match(stdout, /^go version unknown/m);
  });
});
