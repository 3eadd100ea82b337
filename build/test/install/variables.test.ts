import assert from "node:assert/strict";
import { describe, test, type TestContext } from "node:test";
import { provideSystemctl, takeCalls } from "./fake-systemctl.ts";
import { FROM_DIST, InstallerMachine, PLAIN_EXECUTABLE, V1 } from "./installer-machine.ts";
import { startReleaseServer, type ReleaseServer } from "./release-server.ts";

type Environment = Readonly<Record<string, string>>;
type Result = Awaited<ReturnType<InstallerMachine["install"]>>;

/** With a service manager. */
const MANAGED = { ...FROM_DIST, INSTALL_K3S_SKIP_ENABLE: "false" };
const UNITS = "/etc/systemd/system";

async function managedMachine(t: TestContext, executable = PLAIN_EXECUTABLE): Promise<InstallerMachine> {
  const machine = await InstallerMachine.withDist(t, executable);
  await provideSystemctl(machine);
  // Those of this machine itself.
  await machine.run(["rm", "-f", ...["kubectl", "ctr", "crictl"].map((tool) => `/usr/bin/${tool}`)]);
  return machine;
}

describe("variables that say what is installed", () => {
  const cases: Readonly<Record<string, { readonly env: (url: string) => Environment; readonly release: string }>> = {
    INSTALL_K3S_CHANNEL_URL: { env: (url) => ({ INSTALL_K3S_CHANNEL_URL: `${url}/other` }), release: V1 },
    INSTALL_K3S_COMMIT: { env: () => ({ INSTALL_K3S_COMMIT: "0123abcd" }), release: "commit-0123abcd" },
    INSTALL_K3S_PR: { env: () => ({ INSTALL_K3S_PR: "7", INSTALL_K3S_COMMIT: "0123abcd" }), release: "pr-7" },
  };
  for (const [name, { env, release }] of Object.entries(cases)) {
    test(name, async (t) => {
      const machine = await InstallerMachine.create(t);
      const server: ReleaseServer = await startReleaseServer(t);
      server.publish(release, PLAIN_EXECUTABLE);
      server.replace("/other/stable", Buffer.from(`${V1}\n`));
      const { code, stderr } = await machine.install([], { INSTALL_K3S_MIRROR: server.url, ...env(server.url) });
      assert.deepEqual([code, stderr], [0, ""]);
      assert.equal(server.requests.at(-1), `/${release}/k3s.zst`);
      assert.equal(await machine.read("/usr/local/bin/k3s"), PLAIN_EXECUTABLE);
    });
  }
});

/** What the installer left: files by their paths, and the calls of the service manager. */
interface Outcome extends Result {
  readonly files: readonly string[];
  readonly calls: readonly string[];
  readonly machine: InstallerMachine;
}

interface Case {
  readonly name: string;
  readonly env: Environment;
  readonly check: (outcome: Outcome) => void | Promise<void>;
  readonly prepare?: (machine: InstallerMachine) => Promise<unknown>;
}

const started = ["daemon-reload", `enable ${UNITS}/k3s.service`, "reset-failed k3s", "restart --no-block k3s"];
const linked = (files: readonly string[]) => files.filter((path) => /\/(?:kubectl|ctr|crictl)$/.test(path));

const CASES: readonly Case[] = [
  {
    name: "none: the service is enabled and started, and kubectl and ctr are links",
    env: {},
    check: ({ calls, files }) => {
      assert.deepEqual(calls, started);
      assert.deepEqual(linked(files), ["/usr/local/bin/ctr", "/usr/local/bin/kubectl"]);
    },
  },
  {
    name: "INSTALL_K3S_BIN_DIR",
    env: { INSTALL_K3S_BIN_DIR: "/opt/k3s" },
    check: async ({ files, machine }) => {
      const programs = ["ctr", "k3s", "k3s-killall.sh", "k3s-uninstall.sh", "kubectl"].map(
        (file) => `/opt/k3s/${file}`,
      );
      assert.deepEqual(
        files.filter((path) => !path.startsWith(UNITS)),
        programs,
      );
      assert.match(await machine.read(`${UNITS}/k3s.service`), /\nExecStart=\/opt\/k3s\/k3s /);
    },
  },
  {
    name: "INSTALL_K3S_BIN_DIR_READ_ONLY",
    env: { INSTALL_K3S_BIN_DIR_READ_ONLY: "true" },
    prepare: (machine) => machine.write("/usr/local/bin/k3s", PLAIN_EXECUTABLE, 0o755),
    check: async ({ files, machine }) => {
      assert.deepEqual(
        files,
        ["k3s.service", "k3s.service.env"].map((file) => `${UNITS}/${file}`).concat("/usr/local/bin/k3s"),
      );
      assert.doesNotMatch(await machine.read(`${UNITS}/k3s.service`), /killall/);
    },
  },
  {
    name: "INSTALL_K3S_EXEC, before the arguments of the script",
    env: { INSTALL_K3S_EXEC: "agent --node-label 'a=b c'" },
    check: async ({ machine }) => {
      const unit = await machine.read(`${UNITS}/k3s-agent.service`);
      assert.ok(unit.endsWith(' \\\n    agent \\\n\t"--node-label" \\\n\t"a=b c" \\\n\t"--debug"\n'), unit);
    },
  },
  {
    name: "INSTALL_K3S_NAME",
    env: { INSTALL_K3S_NAME: "east" },
    check: ({ files, calls }) => {
      assert.ok(files.includes(`${UNITS}/k3s-east.service`));
      assert.ok(files.includes("/usr/local/bin/k3s-east-uninstall.sh"));
      assert.equal(calls.at(-1), "restart --no-block k3s-east");
    },
  },
  {
    name: "INSTALL_K3S_NAME with odd characters",
    env: { INSTALL_K3S_NAME: "a b" },
    check: ({ code, stderr, files }) => {
      assert.equal(code, 1);
      assert.match(stderr, /^\[ERROR\] Cannot install service "k3s-a b": odd characters in its name$/m);
      assert.deepEqual(files, []);
    },
  },
  {
    name: "INSTALL_K3S_TYPE; a watchdog needs the type notify",
    env: { INSTALL_K3S_TYPE: "exec" },
    check: async ({ machine }) => {
      const unit = await machine.read(`${UNITS}/k3s.service`);
      assert.match(unit, /^Type=exec$/m);
      assert.doesNotMatch(unit, /Watchdog/);
    },
  },
  {
    name: "INSTALL_K3S_SYMLINK=skip",
    env: { INSTALL_K3S_SYMLINK: "skip" },
    check: ({ files }) => assert.deepEqual(linked(files), []),
  },
  {
    name: "INSTALL_K3S_SYMLINK=force, over what is there",
    env: { INSTALL_K3S_SYMLINK: "force" },
    prepare: (machine) => machine.write("/usr/local/bin/kubectl", "", 0o755),
    check: async ({ machine }) => {
      assert.equal((await machine.run(["readlink", "/usr/local/bin/kubectl"])).stdout, "k3s\n");
    },
  },
  {
    name: "no INSTALL_K3S_SYMLINK, where the machine has a kubectl of its own",
    env: {},
    prepare: (machine) => machine.write("/usr/sbin/kubectl", "", 0o755),
    check: ({ files }) => assert.deepEqual(linked(files), ["/usr/local/bin/ctr", "/usr/sbin/kubectl"]),
  },
  {
    name: "no INSTALL_K3S_SYMLINK, where the executable holds crictl",
    env: {},
    prepare: (machine) =>
      machine.write(
        "/fixture/dist/k3s",
        PLAIN_EXECUTABLE.replace("  validate)", "  validate) echo Tools: kubectl crictl;"),
        0o755,
      ),
    check: ({ files }) => assert.deepEqual(linked(files), ["/usr/local/bin/crictl", "/usr/local/bin/kubectl"]),
  },
  {
    name: "INSTALL_K3S_SKIP_START",
    env: { INSTALL_K3S_SKIP_START: "true" },
    check: ({ calls }) => assert.deepEqual(calls, started.slice(0, 2)),
  },
  {
    name: "TRANSACTIONAL_UPDATE: the service starts with the machine",
    env: { TRANSACTIONAL_UPDATE: "true" },
    check: ({ calls, stdout }) => {
      assert.deepEqual(calls, started.slice(0, 2));
      assert.match(stdout, /Restart the machine: k3s starts with the system/);
    },
  },
  {
    name: "no INSTALL_K3S_FORCE_RESTART, where nothing changed",
    env: {},
    prepare: (machine) => machine.install(["--debug"], MANAGED),
    check: ({ calls, stdout }) => {
      assert.deepEqual(calls, started.slice(0, 2));
      assert.match(stdout, /No change detected so skipping service start/);
    },
  },
  {
    name: "INSTALL_K3S_FORCE_RESTART",
    env: { INSTALL_K3S_FORCE_RESTART: "true" },
    prepare: (machine) => machine.install(["--debug"], MANAGED),
    check: ({ calls }) => assert.deepEqual(calls, started),
  },
  {
    name: "INSTALL_K3S_DRY_RUN",
    env: { INSTALL_K3S_DRY_RUN: "true" },
    check: ({ stdout, files, calls }) => {
      assert.match(stdout, /Would write \/usr\/local\/bin\/k3s\n[^]*Would run: systemctl restart --no-block k3s\n/);
      assert.deepEqual([files, calls], [[], []]);
    },
  },
];

describe("variables that say where and how", () => {
  for (const { name, env, prepare, check } of CASES) {
    test(name, async (t) => {
      const machine = await managedMachine(t);
      await prepare?.(machine);
      await takeCalls(machine);
      const result = await machine.install(["--debug"], { ...MANAGED, ...env });
      const files = (await machine.changedFiles()).filter(
        (path) => !path.endsWith("/systemctl") && !path.includes("cri-containerd-.scope.d"),
      );
      await check({ ...result, files, calls: await takeCalls(machine), machine });
    });
  }
});

describe("a machine where SELinux is enforcing", () => {
  const policy = "/usr/share/selinux/packages/k3s.pp";
  const refused = /^\[ERROR\] Cannot install k3s: SELinux is enforcing and the policy k3s-selinux is missing$/m;
  const warned = /^\[WARN\] {2}SELinux is enforcing and the policy k3s-selinux is not installed/;
  const cases: readonly (readonly [string, Environment, number, RegExp])[] = [
    ["without the policy", {}, 1, refused],
    ["INSTALL_K3S_SELINUX_WARN", { INSTALL_K3S_SELINUX_WARN: "true" }, 0, warned],
    ["INSTALL_K3S_SKIP_SELINUX_RPM", { INSTALL_K3S_SKIP_SELINUX_RPM: "true" }, 0, warned],
    ["INSTALL_K3S_SKIP_DOWNLOAD=selinux", { INSTALL_K3S_SKIP_DOWNLOAD: "selinux" }, 0, warned],
  ];
  for (const [name, env, code, said] of cases) {
    test(name, async (t) => {
      const machine = await managedMachine(t);
      await machine.write("/etc/selinux/config", "# SELINUX=disabled\nSELINUX=enforcing\n");
      const result = await machine.install([], { ...FROM_DIST, ...env });
      assert.equal(result.code, code);
      assert.match(result.stderr, said);
    });
  }

  test("with the policy", async (t) => {
    const machine = await managedMachine(t);
    await machine.write("/etc/selinux/config", "SELINUX=enforcing\n");
    await machine.write(policy, "");
    const { code, stderr } = await machine.install([], FROM_DIST);
    assert.deepEqual([code, stderr], [0, ""]);
  });
});

describe("the disk for the data", () => {
  test("is refused when it is too small for a new node, and taken from an old one", async (t) => {
    const machine = await managedMachine(t);
    await machine.run(["mkdir", "-p", "/srv/small"]);
    await machine.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", "/srv/small"]);
    const env = { ...FROM_DIST, K3S_DATA_DIR: "/srv/small/k3s" };
    const { code, stderr } = await machine.install([], env);
    assert.equal(code, 1);
    assert.match(
      stderr,
      /Cannot install k3s with its data in "\/srv\/small\/k3s": 16 MiB are free, 700 MiB are needed$/m,
    );
    await machine.run(["mkdir", "-p", "/srv/small/k3s/data"]);
    assert.equal((await machine.install([], env)).code, 0);
  });
});
