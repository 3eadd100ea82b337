import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { stat, symlink, writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { describe, test } from "node:test";
import { EtcdApiError } from "../src/errors.ts";
import { listenUnix } from "../src/listen.ts";
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

  test("names the address it cannot have", async (t) => {
    const path = join(await temporaryFolder(t), "none", "s");
    const refused = listenUnix(path, () => undefined);
    await assert.rejects(refused, (error) => error instanceof EtcdApiError && error.message.includes(path));
  });
});
