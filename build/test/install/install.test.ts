import assert from "node:assert/strict";
import { stat } from "node:fs/promises";
import { describe, test } from "node:test";
import { executableOf, FROM_DIST, InstallerMachine, V1 } from "./installer-machine.ts";
import { startReleaseServer } from "./release-server.ts";

const UNIT = "/etc/systemd/system/k3s.service";
const V2 = "v1.30.2+k3s1";
/** install.sh of k3s writes this, but for TimeoutStopSec, WatchdogSec and ExecStopPost. */
const UNIT_TEXT = `[Unit]
Description=Lightweight Kubernetes
Documentation=https://k3s.io
Wants=network-online.target
After=network-online.target

[Install]
WantedBy=multi-user.target

[Service]
Type=notify
EnvironmentFile=-/etc/default/%N
EnvironmentFile=-/etc/sysconfig/%N
EnvironmentFile=-/etc/systemd/system/k3s.service.env
KillMode=process
Delegate=yes
User=root
LimitNOFILE=1048576
LimitNPROC=infinity
LimitCORE=infinity
TasksMax=infinity
TimeoutStartSec=0
TimeoutStopSec=90s
Restart=always
RestartSec=5s
WatchdogSec=3min
ExecStartPre=-/sbin/modprobe br_netfilter
ExecStartPre=-/sbin/modprobe overlay
ExecStopPost=-/usr/local/bin/k3s-killall.sh --if-shutdown
ExecStart=/usr/local/bin/k3s \\
    server
`;

describe("install.sh", () => {
  test("installs the release that the stable channel redirects to", async (t) => {
    const machine = await InstallerMachine.create(t);
    const server = await startReleaseServer(t);
    server.publish(V1, executableOf(V1));
    server.channel("stable", { redirect: V1 });
    const result = await machine.install(["--kube-apiserver-arg", "zone=a b$c%d"], {
      INSTALL_K3S_MIRROR: server.url,
      K3S_TOKEN: 'a "b" $c `d`',
    });
    assert.deepEqual([result.code, result.stderr], [0, ""]);
    assert.equal(await machine.read("/usr/local/bin/k3s"), executableOf(V1));
    assert.equal(await machine.read(`${UNIT}.env`), 'K3S_TOKEN="a \\"b\\" \\$c \\`d\\`"\n');
    assert.equal((await stat(machine.path(`${UNIT}.env`))).mode & 0o777, 0o600);
    const unit = await machine.read(UNIT);
    assert.match(unit, /\nType=notify\n[^]*\nKillMode=process\nDelegate=yes\n[^]*\nWatchdogSec=3min\n/);
    assert.ok(
      unit.endsWith(
        'ExecStart=/usr/local/bin/k3s \\\n    server \\\n\t"--kube-apiserver-arg" \\\n\t"zone=a b$$c%%d"\n',
      ),
      unit,
    );
  });

  test("writes the unit of k3s, with a watchdog and an end for pods when the machine goes down", async (t) => {
    const machine = await InstallerMachine.withDist(t);
    assert.equal((await machine.install([], FROM_DIST)).code, 0);
    assert.equal(await machine.read(UNIT), UNIT_TEXT);
  });

  test("names the variable to set when nobody has said where releases are", async (t) => {
    const machine = await InstallerMachine.create(t);
    const result = await machine.install([], {});
    assert.equal(result.code, 1);
    assert.match(
      result.stderr,
      /^\[ERROR\] Cannot download k3s: no address of releases\n {8}Set INSTALL_K3S_MIRROR to one/,
    );
    assert.deepEqual(await machine.changedFiles(), []);
  });

  test("finds another folder for what it downloads when programs may not run from /tmp", async (t) => {
    const machine = await InstallerMachine.create(t);
    const server = await startReleaseServer(t);
    server.publish(V1, executableOf(V1));
    await machine.run(["mount", "-o", "remount,noexec", "/tmp"]);
    const env = { INSTALL_K3S_MIRROR: server.url, INSTALL_K3S_VERSION: V1 };
    const result = await machine.install([], env);
    assert.equal(result.code, 0, result.stderr);
    assert.ok(!(await machine.changedFiles()).some((path) => path.startsWith("/var/tmp")));
  });

  test("refuses an agent without a token", async (t) => {
    const machine = await InstallerMachine.withDist(t);
    const env = { ...FROM_DIST, K3S_URL: "https://127.0.0.1:6443" };
    const result = await machine.install([], env);
    assert.equal(result.code, 1);
    assert.match(result.stderr, /--token/);
    assert.deepEqual(await machine.changedFiles(), []);
  });

  test("finds the data folder in config.yaml.d", async (t) => {
    const machine = await InstallerMachine.withDist(t);
    await machine.write("/etc/rancher/k3s/config.yaml.d/place.yaml", "data-dir: /srv/k3s\n");
    await machine.write("/fixture/images/a.tar", "archive");
    const env = { ...FROM_DIST, INSTALL_K3S_IMAGES: "/fixture/images/a.tar" };
    assert.equal((await machine.install([], env)).code, 0);
    assert.equal(await machine.read("/srv/k3s/agent/images/a.tar"), "archive");
    // What a tool unpacked that did not know of the folder.
    await machine.write("/var/lib/rancher/k3s/data/0123/bin/kubectl", "");
    await machine.runApart(["/usr/local/bin/k3s-uninstall.sh"]);
    assert.deepEqual(await machine.changedFiles(), []);
  });

  test("moves its service and scripts to where they are asked for, with earlier settings", async (t) => {
    const machine = await InstallerMachine.withDist(t);
    await machine.install(["--disable-scheduler"], { ...FROM_DIST, K3S_NODE_NAME: "one" });
    for (const script of ["killall", "uninstall"]) await machine.run(["rm", `/usr/local/bin/k3s-${script}.sh`]);
    const places = {
      INSTALL_K3S_SYSTEMD_DIR: "/usr/local/lib/systemd/system",
      KILLALL_K3S_SH: "/opt/end-k3s",
      UNINSTALL_K3S_SH: "/opt/remove-k3s",
    };
    assert.equal((await machine.install([], { ...FROM_DIST, ...places })).code, 0);
    const files = (await machine.changedFiles()).filter((path) => path.includes("systemd") || path.includes("/opt/"));
    assert.deepEqual(files, [
      "/opt/end-k3s",
      "/opt/remove-k3s",
      "/usr/local/lib/systemd/system/cri-containerd-.scope.d/k3s.conf",
      "/usr/local/lib/systemd/system/k3s.service",
      "/usr/local/lib/systemd/system/k3s.service.env",
    ]);
    const unit = await machine.read("/usr/local/lib/systemd/system/k3s.service");
    const order = await machine.read("/usr/local/lib/systemd/system/cri-containerd-.scope.d/k3s.conf");
    assert.equal(order, "[Unit]\nBefore=k3s.service\n");
    assert.match(unit, /ExecStopPost=-\/opt\/end-k3s --if-shutdown\n[^]*"--disable-scheduler"/);
    await machine.runApart(["/opt/remove-k3s"]);
    assert.deepEqual(await machine.changedFiles(), []);
  });

  test("takes a channel that is a text, by wget, and the form that can be unpacked", async (t) => {
    const machine = await InstallerMachine.create(t);
    const server = await startReleaseServer(t);
    server.publish(V1, executableOf(V1));
    server.channel("latest", { text: `${V1}\n` });
    for (const tool of ["curl", "zstd"]) await machine.run(["rm", `/usr/bin/${tool}`]);
    const env = { INSTALL_K3S_ARTIFACT_URL: server.url, INSTALL_K3S_CHANNEL: "latest" };
    assert.equal((await machine.install([], env)).code, 0);
    assert.deepEqual(server.requests, ["/channels/latest", `/${V1}/sha256sum-amd64.txt`, `/${V1}/k3s.gz`]);
  });

  test("downloads nothing when the installed executable is that of the release", async (t) => {
    const machine = await InstallerMachine.create(t);
    const server = await startReleaseServer(t);
    server.publish(V1, executableOf(V1));
    const env = { INSTALL_K3S_MIRROR: server.url, INSTALL_K3S_VERSION: V1 };
    await machine.install([], env);
    await machine.install([], env);
    assert.deepEqual(
      server.requests.filter((path) => path.includes("/k3s")),
      [`/${V1}/k3s.zst`],
    );
  });

  const faults = [
    { name: "its bytes are not those of the checksum", bytes: Buffer.from("other"), announced: 5 },
    { name: "its download ends early", bytes: Buffer.from("oth"), announced: 5000 },
  ];
  for (const { name, bytes, announced } of faults) {
    test(`changes nothing when ${name}`, async (t) => {
      const machine = await InstallerMachine.create(t);
      const server = await startReleaseServer(t);
      server.publish(V1, executableOf(V1));
      for (const form of ["k3s", "k3s.gz", "k3s.zst"]) server.replace(`/${V1}/${form}`, bytes, announced);
      const result = await machine.install([], { INSTALL_K3S_MIRROR: server.url, INSTALL_K3S_VERSION: V1 });
      assert.equal(result.code, 1);
      assert.match(result.stderr, /\[ERROR\] Cannot (install|download) /);
      assert.deepEqual(await machine.changedFiles(), []);
    });
  }

  test("does nothing at whatever byte the script itself is cut off", async (t) => {
    const machine = await InstallerMachine.withDist(t);
    await machine.install(["--dry-run"], FROM_DIST);
    const script = await machine.read("/fixture/install.sh");
    for (const share of [0.1, 0.3, 0.5, 0.7, 0.9, 0.999]) {
      await machine.write("/fixture/cut.sh", script.slice(0, Math.floor(script.length * share)));
      await machine.run(["dash", "-c", "dash </fixture/cut.sh"], {
        ...{ ...FROM_DIST, INSTALL_K3S_SKIP_ENABLE: "true" },
      });
    }
    assert.deepEqual(await machine.changedFiles(), []);
  });

  test("keeps earlier flags and variables, replaces those given anew and shows the difference", async (t) => {
    const machine = await InstallerMachine.withDist(t);
    const first = ["--node-label", "a=1", "--disable-scheduler", "--token", "first"];
    await machine.install(first, { ...FROM_DIST, K3S_NODE_NAME: "one", CONTAINERD_HTTP_PROXY: "http://p" });
    const { stdout } = await machine.install(["--node-label=b=2"], { ...FROM_DIST, K3S_NODE_NAME: "two" });
    assert.match(stdout, /\n {2}- --node-label a=1\n {2}\+ --node-label=b=2\n/);
    assert.match(stdout, /\n {2}- K3S_NODE_NAME=one\n {2}\+ K3S_NODE_NAME=two\n/);
    assert.doesNotMatch(stdout, /first/);
    assert.ok(
      (await machine.read(UNIT)).endsWith(
        'server \\\n\t"--disable-scheduler" \\\n\t"--token" \\\n\t"first" \\\n\t"--node-label=b=2"\n',
      ),
    );
    assert.equal(await machine.read(`${UNIT}.env`), "CONTAINERD_HTTP_PROXY=http://p\nK3S_NODE_NAME=two\n");
    await machine.install([], { ...FROM_DIST, INSTALL_K3S_KEEP: "false" });
    assert.ok((await machine.read(UNIT)).endsWith("    server\n"));
    assert.equal(await machine.read(`${UNIT}.env`), "");
  });

  test("leaves an installation as it is when the executable refuses the arguments", async (t) => {
    const machine = await InstallerMachine.withDist(t);
    await machine.install([], FROM_DIST);
    const unit = await machine.read(UNIT);
    await machine.provide(executableOf(V2));
    const result = await machine.install(["--node-lable", "a=1"], FROM_DIST);
    assert.equal(result.code, 1);
    assert.match(result.stderr, /--node-lable is not a flag of k3s server/);
    assert.equal(await machine.read(UNIT), unit);
    assert.equal(await machine.read("/usr/local/bin/k3s"), executableOf(V1));
  });

  test("--dry-run checks and tells, and changes nothing", async (t) => {
    const machine = await InstallerMachine.withDist(t);
    const result = await machine.install(["--dry-run"], FROM_DIST);
    assert.equal(result.code, 0, result.stderr);
    assert.match(
      result.stdout,
      /Would write \/usr\/local\/bin\/k3s\n[^]*Would write \/etc\/systemd\/system\/k3s\.service\n/,
    );
    assert.deepEqual(await machine.changedFiles(), []);
  });

  test("installs an agent from K3S_URL, and keeps it one", async (t) => {
    const machine = await InstallerMachine.withDist(t);
    const token = { K3S_URL: "https://127.0.0.1:6443", K3S_TOKEN: "secret" };
    assert.equal((await machine.install([], { ...FROM_DIST, ...token })).code, 0);
    assert.equal((await machine.install(["--node-label", "a=b"], FROM_DIST)).code, 0);
    const unit = await machine.read("/etc/systemd/system/k3s-agent.service");
    assert.ok(unit.endsWith('    agent \\\n\t"--node-label" \\\n\t"a=b"\n'), unit);
    assert.ok((await machine.changedFiles()).includes("/usr/local/bin/k3s-agent-uninstall.sh"));
  });

  test("installs without a network what is there already, with its images", async (t) => {
    const machine = await InstallerMachine.create(t);
    await machine.write("/usr/local/bin/k3s", executableOf(V1), 0o755);
    await machine.write("/fixture/images/a.tar.zst", "archive");
    const env = { INSTALL_K3S_SKIP_DOWNLOAD: "true", INSTALL_K3S_IMAGES: "/fixture/images" };
    assert.equal((await machine.install(["-d", "/srv/k3s"], env)).code, 0);
    assert.equal(await machine.read("/srv/k3s/agent/images/a.tar.zst"), "archive");
  });

  test("writes a script for OpenRC that hands every argument on as it was given", async (t) => {
    const machine = await InstallerMachine.withDist(t);
    await machine.write("/sbin/openrc-run", "", 0o755);
    const env = { ...FROM_DIST, K3S_NODE_NAME: "one" };
    const label = `a=it's "b" $c \`d\` \\e`;
    await machine.install(["--node-taint", "x=y:NoSchedule", "--kube-apiserver-arg", label], env);
    assert.equal((await machine.install([], env)).code, 0);
    const script = await machine.read("/etc/init.d/k3s");
    assert.match(script, /^#!\/sbin\/openrc-run\n[^]*\nsupervisor=supervise-daemon\n/);
    const line = `. /etc/init.d/k3s; eval "set -- $command_args"; printf '%s\\n' "$@" "$K3S_NODE_NAME"`;
    const { stdout } = await machine.run(["dash", "-c", line]);
    assert.match(script, /\nstop_post\(\) \{\n {4}"\/usr\/local\/bin\/k3s-killall\.sh" --if-shutdown\n/);
    assert.equal(stdout, `server\n--node-taint\nx=y:NoSchedule\n--kube-apiserver-arg\n${label}\none\n`);
    assert.ok((await machine.changedFiles()).includes("/etc/logrotate.d/k3s"));
  });
});
