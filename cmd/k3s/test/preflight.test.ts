import assert from "node:assert/strict";
import { once } from "node:events";
import { chmod, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { acquireLock } from "@k3s/files";
import { freePort } from "@k3s/testkit";
import { run, temporaryFolder } from "./cli-process.ts";

async function listen(t: TestContext, port: number, address = "127.0.0.1"): Promise<Server> {
  const server = createServer().listen(port, address);
  t.after(() => server.close());
  await once(server, "listening");
  return server;
}

function agentArguments(folder: string): readonly string[] {
  const joining = ["--server", "https://192.0.2.1:6443", "--token", "secret"];
  return ["agent", ...joining, "--data-dir", join(folder, "data"), "--node-ip", "192.0.2.9"];
}

/** Runs a server in a mount namespace in which `script` has prepared `$1`, the data dir. */
async function runMounted(t: TestContext, script: string) {
  const dataDir = join(await temporaryFolder(t), "data");
  await mkdir(dataDir);
  const wrapper = ["unshare", "--mount", "sh", "-ec", `${script}; shift; exec "$@"`, "sh", dataDir];
  return await run(t, ["server", "--data-dir", dataDir, "--node-ip", "192.0.2.9"], { wrapper });
}

describe("k3s server: refusals before anything is written", () => {
  test("not root, nor when there is no agent", async (t) => {
    const folder = await temporaryFolder(t);
    await chmod(folder, 0o777);
    const wrapper = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    const { code, stderr } = await run(t, ["server", "--data-dir", join(folder, "data"), "--disable-agent"], {
      wrapper,
    });
    assert.equal(code, 1);
    assert.match(stderr, /Cannot start k3s server: it runs as user 65534, not as root/);
    assert.match(stderr, /code=ERR_NOT_ROOT hint=.+--disable-agent/);
    assert.deepEqual(await readdir(folder), []);
  });

  test("not root, in the words of an agent", async (t) => {
    const folder = await temporaryFolder(t);
    await chmod(folder, 0o777);
    const wrapper = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    const { code, stderr } = await run(t, agentArguments(folder), { wrapper });
    assert.equal(code, 1);
    assert.match(stderr, /Cannot start k3s agent: it runs as user 65534, not as root/);
    assert.match(stderr, /code=ERR_NOT_ROOT hint="Start it with sudo or as a system service"/);
    assert.deepEqual(await readdir(folder), []);
  });

  test("port of an agent taken, with the flag of agents that moves it", async (t) => {
    const folder = await temporaryFolder(t);
    const port = await freePort();
    await listen(t, port);
    const { code, stderr } = await run(t, [...agentArguments(folder), "--lb-server-port", String(port)]);
    assert.equal(code, 1);
    assert.match(stderr, new RegExp(`Cannot use port ${port} for the load balancer: .+choose another port with --lb-`));
    assert.deepEqual(await readdir(folder), []);
  });

  test("with the id of the machine in its name: it is kept once the checks are passed", async (t) => {
    const dataDir = join(await temporaryFolder(t), "data");
    // In a mount namespace of its own, /etc holds nothing but what k3s writes to it.
    const script = 'mount -t tmpfs tmpfs /etc; "$@" || :; find /etc -type f -exec grep -H . {} +';
    const server = (...args: string[]) => {
      const wrapper = ["unshare", "--net", "--mount", "sh", "-c", script, "sh", ...args];
      const flags = ["--with-node-id", "--node-name", "n", "--data-dir", dataDir, "--node-ip", "192.0.2.9"];
      return run(t, ["server", ...flags], { wrapper, env: { HOME: "/", K3S_COMPONENTS_DIR: join(dataDir, "none") } });
    };
    const refused = await server("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups");
    assert.match(refused.stderr, /code=ERR_NOT_ROOT/);
    assert.equal(refused.stdout, "");
    const passed = await server();
    assert.match(passed.stderr, /code=ERR_COMPONENT_MISSING/);
    assert.match(passed.stdout, /^\/etc\/rancher\/node\/id:[0-9a-f]{8}\n$/);
  });

  test("port taken, naming the process that holds it", async (t) => {
    const folder = await temporaryFolder(t);
    const port = await freePort();
    await listen(t, port);
    const args = ["server", "--data-dir", join(folder, "data"), "--https-listen-port", String(port)];
    const { code, stderr } = await run(t, args);
    assert.equal(code, 1);
    assert.match(
      stderr,
      new RegExp(`Cannot use port ${port} for the Kubernetes API: it is taken by .+, process ${process.pid}\\b`),
    );
    assert.match(stderr, /code=ERR_PORT_TAKEN/);
    assert.deepEqual(await readdir(folder), []);
  });

  const unusable = [
    {
      name: "an address to listen on that the machine does not have",
      args: ["--bind-address", "192.0.2.77"],
      message: /Cannot listen on .+192\.0\.2\.77.+ it is not an address of this machine/,
      code: "ERR_BIND_ADDRESS",
    },
    {
      name: "a kubeconfig that is a folder",
      args: ["--write-kubeconfig", "/usr"],
      message: /Cannot write kubeconfig .+\/usr/,
      code: "ERR_KUBECONFIG_UNWRITABLE",
    },
    {
      name: "a kubeconfig below a file",
      args: ["--write-kubeconfig", "/etc/passwd/k3s.yaml"],
      message: /Cannot write kubeconfig/,
      code: "ERR_KUBECONFIG_UNWRITABLE",
    },
  ];
  for (const { name, args, message, code: expected } of unusable) {
    test(name, async (t) => {
      const folder = await temporaryFolder(t);
      const port = String(await freePort());
      const options = ["--data-dir", join(folder, "data"), "--https-listen-port", port, "--node-ip", "192.0.2.9"];
      const { code, stderr } = await run(t, ["server", ...options, ...args]);
      assert.equal(code, 1);
      assert.match(stderr, message);
      assert.match(stderr, new RegExp(expected));
      assert.deepEqual(await readdir(folder), []);
    });
  }

  test("a second k3s on the same data dir, naming the first and not its ports", async (t) => {
    const folder = await temporaryFolder(t);
    const lock = await acquireLock(join(folder, "k3s.lock"));
    t.after(() => lock.release());
    const port = await freePort();
    await listen(t, port);
    const { code, stderr } = await run(t, ["server", "--data-dir", folder, "--https-listen-port", String(port)]);
    assert.equal(code, 1);
    assert.match(stderr, new RegExp(`k3s process ${process.pid} is running on it.+code=ERR_ALREADY_RUNNING`));
  });

  test("data dir below a file", async (t) => {
    const folder = await temporaryFolder(t);
    await writeFile(join(folder, "file"), "");
    const { code, stderr } = await run(t, ["server", "--data-dir", join(folder, "file/data")]);
    assert.equal(code, 1);
    assert.match(stderr, /is not a folder.+code=ERR_DATA_DIR_NOT_FOLDER/);
  });

  const mounts = [
    ["read-only data dir", 'mount -t tmpfs -o ro tmpfs "$1"', /it cannot be written.+code=ERR_DATA_DIR_READ_ONLY/],
    [
      "full disk",
      'mount -t tmpfs -o size=1m tmpfs "$1"',
      /has 1 MiB left, at least 100 MiB are needed.+code=ERR_DATA_DIR_FULL/,
    ],
    ["disk without inodes", 'mount -t tmpfs -o nr_inodes=50 tmpfs "$1"', /has \d+ inodes left.+code=ERR_DATA_DIR_FULL/],
    ["noexec data dir", 'mount -t tmpfs -o noexec tmpfs "$1"', /is mounted noexec.+code=ERR_DATA_DIR_NOEXEC/],
  ] as const;
  for (const [what, script, expected] of mounts) {
    test(what, async (t) => {
      const { code, stderr } = await runMounted(t, script);
      assert.equal(code, 1);
      assert.match(stderr, expected);
    });
  }

  test("log that cannot be written", async (t) => {
    const folder = await temporaryFolder(t);
    await writeFile(join(folder, "file"), "");
    const args = ["server", "--data-dir", join(folder, "data"), "--log", join(folder, "file", "k3s.log")];
    const { code, stderr } = await run(t, args);
    assert.equal(code, 1);
    assert.match(stderr, /^Error: Cannot write the log to ".+k3s\.log": the file cannot be opened/m);
    assert.match(stderr, /^Code: {2}ERR_LOG_NOT_WRITABLE$/m);
    assert.deepEqual(await readdir(folder), ["file"]);
  });

  test("components missing, in a network of its own, with the log in a file and the failure on the terminal as well", async (t) => {
    const folder = await temporaryFolder(t);
    const file = join(folder, "new", "folder", "k3s.log");
    const wrapper = ["unshare", "--net"];
    const args = ["server", "--data-dir", join(folder, "data"), "--node-ip", "192.0.2.9", "--log", file];
    const { code, stderr } = await run(t, args, { wrapper, env: { K3S_COMPONENTS_DIR: join(folder, "none") } });
    assert.equal(code, 1);
    assert.match(stderr, /^Error: .*missing components\.json$/m);
    assert.match(stderr, /^Code: {2}ERR_COMPONENT_MISSING$/m);
    const log = await readFile(file, "utf8");
    assert.match(log, /ERROR node failed .*code=ERR_COMPONENT_MISSING/);
    assert.match(log, /WARN {2}check the configuration .*192\.0\.2\.9 is not an address of this machine/);
  });
});
