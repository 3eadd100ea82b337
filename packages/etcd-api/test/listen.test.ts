import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { readFile, stat, symlink, writeFile } from "node:fs/promises";
import { connect, createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import { describe, test } from "node:test";
import { describeError } from "@k3s/errors";
import { EtcdApiError } from "../src/errors.ts";
import { toListenFailure } from "../src/listen-failure.ts";
import { listenTcp, listenUnix, type TcpAddress } from "../src/listen.ts";
import { temporaryFolder } from "./support/api.ts";

describe("listenUnix()", () => {
  test("makes a socket only its owner can use, whatever the umask, and leaves the umask alone", async (t) => {
    const path = join(await temporaryFolder(t), "s");
    const before = process.umask(0);
    t.after(() => process.umask(before));
    const listener = await listenUnix(path, () => undefined);
    t.after(() => listener.close());
    assert.equal((await stat(path)).mode & 0o777, 0o600);
    assert.equal(process.umask(before), 0);
  });

  test("replaces a socket nobody listens on", async (t) => {
    const path = join(await temporaryFolder(t), "s");
    // A process that is killed leaves its socket behind.
    const leaveSocket = `require("net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"))`;
    assert.throws(() => execFileSync(process.execPath, ["-e", leaveSocket]));
    assert.ok((await stat(path)).isSocket());
    const accepted = Promise.withResolvers<void>();
    const listener = await listenUnix(path, (socket) => {
      socket.destroy();
      accepted.resolve();
    });
    t.after(() => listener.close());
    connect(path);
    await accepted.promise;
  });

  test("refuses a socket another server answers on, and leaves it there", async (t) => {
    const path = join(await temporaryFolder(t), "s");
    const other = createServer().listen(path);
    t.after(() => other.close());
    await once(other, "listening");
    await assert.rejects(
      listenUnix(path, () => undefined),
      { name: "EtcdApiError", code: "ERR_ETCD_API_SOCKET_IN_USE" },
    );
    assert.ok((await stat(path)).isSocket());
  });

  test("refuses a file that is no socket, a link, and a path too long for a socket", async (t) => {
    const folder = await temporaryFolder(t);
    const [file, link] = [join(folder, "file"), join(folder, "link")];
    await writeFile(file, "precious");
    await symlink(file, link);
    for (const path of [file, link])
      await assert.rejects(
        listenUnix(path, () => undefined),
        { code: "ERR_ETCD_API_SOCKET_OCCUPIED" },
      );
    await assert.rejects(
      listenUnix(join(folder, "x".repeat(108)), () => undefined),
      { code: "ERR_ETCD_API_SOCKET_PATH" },
    );
  });

  test("names a folder that does not exist, and what is no folder", async (t) => {
    const folder = await temporaryFolder(t);
    const file = join(folder, "file");
    await writeFile(file, "precious");
    for (const [parent, cause, hint] of [
      [join(folder, "none"), /ENOENT/, /^Make the folder ".*\/none" first, or choose another path/],
      [file, /ENOTDIR/, /^Give this user a folder to write to, or choose another path/],
    ] as const)
      await assert.rejects(
        listenUnix(join(parent, "s"), () => undefined),
        (error) => {
          assert.ok(error instanceof EtcdApiError);
          assert.match(
            describeError(error),
            new RegExp(`^Cannot listen on "${parent}/s" for the etcd API: .*${cause.source}`),
          );
          assert.match(error.hint ?? "", hint);
          return true;
        },
      );
  });
});

describe("listenTcp()", () => {
  const hintOf = async (address: TcpAddress): Promise<string> => {
    const error = await listenTcp(address, () => undefined).then(
      () => assert.fail("it listens"),
      (refusal: unknown) => refusal,
    );
    assert.ok(error instanceof EtcdApiError && error.code === "ERR_ETCD_API_LISTEN");
    return error.hint ?? "";
  };

  test("tells a port that is taken from an address of another machine", async (t) => {
    const other = createServer().listen(0, "127.0.0.1");
    t.after(() => other.close());
    await once(other, "listening");
    const { port } = other.address() as AddressInfo; // sound: it listens on TCP
    const taken = await hintOf({ host: "127.0.0.1", port });
    assert.match(taken, new RegExp(`^Stop the program that uses port ${port} .*or choose another port$`));
    assert.match(await hintOf({ host: "192.0.2.1", port }), /^Choose an address of this machine/);
    assert.match(await hintOf({ host: "nosuch.invalid", port }), /a port below 1024 needs privileges/);
  });
});

describe("toListenFailure()", () => {
  const denied = Object.assign(new Error("listen EACCES: permission denied"), { code: "EACCES" });

  test("says of a port that only root may have why, and of another one not", async () => {
    const hintOf = async (port: number) => (await toListenFailure({ host: "::1", port }, denied)).hint ?? "";
    const first = Number(await readFile("/proc/sys/net/ipv4/ip_unprivileged_port_start", "utf8"));
    assert.match(await hintOf(first - 1), new RegExp(`^Ports below ${first} need privileges: .*CAP_NET_BIND_SERVICE`));
    assert.match(await hintOf(first), /^Choose an address of this machine on which no other program listens/);
  });
});
