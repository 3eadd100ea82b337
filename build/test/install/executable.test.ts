import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { describe, test } from "node:test";
import { FROM_DIST, InstallerMachine, PLAIN_EXECUTABLE, V1 } from "./installer-machine.ts";
import { startReleaseServer } from "./release-server.ts";

describe("install.sh says why nothing can be downloaded", () => {
  const cases: Readonly<Record<string, { readonly url?: string; readonly remove?: string; readonly said: RegExp }>> = {
    "an unknown host": { url: "http://nowhere.invalid", said: /its host is not known$/m },
    "a server that is off": { url: "http://127.0.0.1:1", said: /its server cannot be reached$/m },
    "a release that is not there": {
      said: /its server does not have it or refuses it\n {8}Check the address and the release$/m,
    },
    "a release that is not there, by wget": { remove: "curl", said: /its server does not have it or refuses it$/m },
  };
  for (const [what, { url, remove, said }] of Object.entries(cases)) {
    test(what, async (t) => {
      const machine = await InstallerMachine.create(t);
      if (remove !== undefined) await machine.run(["rm", `/usr/bin/${remove}`]);
      const mirror = url ?? (await startReleaseServer(t)).url;
      const { code, stderr } = await machine.install([], { INSTALL_K3S_MIRROR: mirror, INSTALL_K3S_VERSION: "v9" });
      assert.equal(code, 1);
      assert.match(stderr, said);
      assert.doesNotMatch(stderr, /ended early/);
    });
  }

  test("a full disk for temporary files", async (t) => {
    const machine = await InstallerMachine.create(t);
    const server = await startReleaseServer(t);
    server.publish(V1, PLAIN_EXECUTABLE);
    for (const form of ["k3s", "k3s.gz", "k3s.zst"]) server.replace(`/${V1}/${form}`, Buffer.alloc(4 << 20));
    await machine.run(["mkdir", "-p", "/fixture/small"]);
    await machine.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", "/fixture/small"]);
    const env = { INSTALL_K3S_MIRROR: server.url, INSTALL_K3S_VERSION: V1, TMPDIR: "/fixture/small" };
    const { code, stderr } = await machine.install([], env);
    assert.equal(code, 1);
    assert.match(
      stderr,
      /Cannot download .+: the disk of "\/fixture\/small\/k3s-install\.\w+" is full\n {8}Free some space/,
    );
    assert.deepEqual(await machine.changedFiles(), []);
  });
});

describe("install.sh says why the executable cannot run", () => {
  test("a program for another processor", async (t) => {
    const machine = await InstallerMachine.create(t);
    const program = await readFile("/bin/true");
    program[18] = 0x16; // where the header names the processor: IBM S/390
    await machine.provide("");
    await writeFile(machine.path("/fixture/dist/k3s"), program);
    const { code, stderr } = await machine.install([], FROM_DIST);
    assert.equal(code, 1);
    const said =
      /^\[ERROR\] Cannot run k3s on this machine: the executable is for another processor than \w+\n {8}Unset ARCH/m;
    assert.match(stderr, said);
  });

  test("a program that fails by itself", async (t) => {
    const machine = await InstallerMachine.create(t);
    await machine.provide("#!/bin/sh\necho 'no such thing' >&2\nexit 3\n");
    const { code, stderr } = await machine.install([], FROM_DIST);
    assert.equal(code, 1);
    assert.match(stderr, /^no such thing\n\[ERROR\] Cannot run k3s on this machine\n {8}See the message above/);
    assert.deepEqual(await machine.changedFiles(), []);
  });
});
