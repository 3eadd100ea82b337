import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { FROM_DIST, InstallerMachine, V1 } from "./installer-machine.ts";

/** The data folder that the scripts of the installer have, quoted. */
async function dataFolder(machine: InstallerMachine): Promise<string | undefined> {
  return /^data_dir=\$\{K3S_DATA_DIR:-(.*)\}$/m.exec(await machine.read("/usr/local/bin/k3s-killall.sh"))?.[1];
}

describe("install.sh checks what the service will be given", () => {
  const places = ["/etc/default/k3s", "/etc/sysconfig/k3s", "/etc/systemd/system/k3s.service.env"];
  for (const [index, last] of places.entries()) {
    test(`the variables of ${last} win over those of files before it`, async (t) => {
      const machine = await InstallerMachine.withDist(t);
      for (const [at, place] of places.slice(0, index + 1).entries())
        await machine.write(place, `K3S_DATA_DIR=/srv/${at}\n`, 0o600);
      await machine.write("/etc/systemd/system/k3s.service", "[Service]\nExecStart=/usr/local/bin/k3s server\n");
      const { code, stderr } = await machine.install([], FROM_DIST);
      assert.deepEqual([code, stderr], [0, ""]);
      assert.equal(await dataFolder(machine), `'/srv/${index}'`);
    });
  }

  test("files of variables are read as systemd does", async (t) => {
    const machine = await InstallerMachine.withDist(t);
    // As systemd.exec(5) says of EnvironmentFile=: no shell runs, quotes join, a backslash at the end of a line goes on.
    const text = ["# touch /ran", "; touch /ran", "K3S_NODE_LABEL=a=$(touch /ran)", "A=`touch /ran`", "touch /ran"];
    const folder = 'K3S_DATA_DIR = "/srv/a \\"b\\" "\'$c \'\\\nd e\\ f  ';
    await machine.write("/etc/default/k3s", [...text, folder, ""].join("\n"));
    const { stderr } = await machine.install(["--dry-run"], FROM_DIST);
    assert.match(stderr, /--node-label must be .*"a=\$\(touch \/ran\)"/);
    await machine.write("/etc/default/k3s", [...text.filter((line) => !/LABEL/.test(line)), folder, ""].join("\n"));
    assert.equal((await machine.install([], FROM_DIST)).code, 0);
    assert.equal(await dataFolder(machine), `'/srv/a "b" $c d e f'`);
    assert.ok(!(await machine.changedFiles()).includes("/ran"));
  });

  test("/etc/environment counts where OpenRC starts the service", async (t) => {
    const machine = await InstallerMachine.withDist(t);
    await machine.write("/sbin/openrc-run", "", 0o755);
    await machine.write("/etc/environment", "K3S_DATA_DIR=/srv/k3s\n");
    assert.equal((await machine.install([], FROM_DIST)).code, 0);
    assert.equal(await dataFolder(machine), "'/srv/k3s'");
  });
});

describe("INSTALL_K3S_EXEC", () => {
  const texts: readonly (readonly [string, readonly string[]])[] = [
    [`server --node-label 'a=b c' --node-label "d=e"`, ["server", "--node-label", "a=b c", "--node-label", "d=e"]],
    ["  server\n\t--debug \\\n --data-dir  /srv ", ["server", "--debug", "--data-dir", "/srv"]],
    [String.raw`a"b \"\$\c"'\'\d e\ f`, ["a" + String.raw`b "$\c\d`, "e f"]],
    [`server '' ""`, ["server", "", ""]],
  ];
  for (const [text, words] of texts) {
    test(`${JSON.stringify(text)} is split as a shell splits it`, async (t) => {
      const machine = await InstallerMachine.withDist(t);
      await machine.provide(ARGUMENTS);
      await machine.install([], { ...FROM_DIST, INSTALL_K3S_EXEC: text, INSTALL_K3S_NAME: "other" });
      assert.deepEqual(JSON.parse(await machine.read("/fixture/arguments")), ["validate", ...words]);
    });
  }

  const mistakes = { "server 'a": "a quote is not closed", 'server "a\nb"': "a word has a line break" };
  for (const [text, said] of Object.entries(mistakes)) {
    test(`${JSON.stringify(text)} is refused`, async (t) => {
      const machine = await InstallerMachine.withDist(t);
      const { code, stderr } = await machine.install([], { ...FROM_DIST, INSTALL_K3S_EXEC: text });
      assert.equal(code, 1);
      assert.ok(stderr.startsWith(`[ERROR] Cannot read INSTALL_K3S_EXEC: ${said}\n`), stderr);
    });
  }
});

/** Writes down the arguments that it is handed. */
const ARGUMENTS = `#!/bin/sh
case $1 in
  --version) echo "k3s version ${V1} (0123abcd)" ;;
  validate) printf '%s' "$K3S_ARGUMENTS" >/fixture/arguments ;;
esac
`;

describe("what is typed first", () => {
  for (const word of ["--help", "-h"])
    test(`${word} tells how install.sh is used, and changes nothing`, async (t) => {
      const machine = await InstallerMachine.withDist(t);
      const { code, stdout, stderr } = await machine.install(["server", word], FROM_DIST);
      assert.deepEqual([code, stderr], [0, ""]);
      assert.match(stdout, /install\.sh \[--dry-run\] \[server\|agent\] \[FLAG \.\.\.\]/);
      assert.deepEqual(await machine.changedFiles(), []);
    });

  const wrong: Readonly<Record<string, readonly [value: string, said: RegExp]>> = {
    INSTALL_K3S_EXEC: ["server --help", /Cannot install a service that prints its help/],
    INSTALL_K3S_DRY_RUN: [
      "maybe",
      /Cannot read INSTALL_K3S_DRY_RUN: "maybe" says neither yes nor no\n +Set it to true/,
    ],
    INSTALL_K3S_SKIP_DOWNLOAD: ["all", /Cannot read INSTALL_K3S_SKIP_DOWNLOAD: "all"/],
    INSTALL_K3S_READY_TIMEOUT: ["5m", /Cannot wait "5m" \(INSTALL_K3S_READY_TIMEOUT\): not a number of seconds/],
  };
  for (const [name, [value, said]] of Object.entries(wrong))
    test(`${name}=${value} is refused`, async (t) => {
      const machine = await InstallerMachine.withDist(t);
      const { code, stderr } = await machine.install([], { ...FROM_DIST, [name]: value });
      assert.equal(code, 1);
      assert.match(stderr, said);
      assert.deepEqual(await machine.changedFiles(), []);
    });

  for (const yes of ["true", "yes", "1"])
    test(`INSTALL_K3S_DRY_RUN=${yes} changes nothing`, async (t) => {
      const machine = await InstallerMachine.withDist(t);
      const { code, stdout } = await machine.install([], { ...FROM_DIST, INSTALL_K3S_DRY_RUN: yes });
      assert.equal(code, 0);
      assert.match(stdout, /Would write /);
      assert.deepEqual(await machine.changedFiles(), []);
    });
});
