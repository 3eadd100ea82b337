import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type AddressInfo } from "node:net";
import { describe, test, type TestContext } from "node:test";
import { collectLog, openUntilWaiting } from "@k3s/testkit";
import { openMysqlDriver } from "../src/open-mysql-driver.ts";
import { openMysqlReader } from "../src/open-mysql-reader.ts";

const PASSWORD = "S3cret";

function packet(number: number, content: Buffer): Buffer {
  const head = Buffer.alloc(4);
  head.writeUIntLE(content.length, 0, 3);
  head[3] = number;
  return Buffer.concat([head, content]);
}

/** Capabilities: all of the lower half but TLS; PLUGIN_AUTH and others of the upper. */
const GREETING = packet(
  0,
  Buffer.concat([
    Buffer.from("\x0a10.11.2-MariaDB\0\x01\0\0\0abcdefgh\0", "latin1"),
    Buffer.from([0xfe, 0xf7, 45, 2, 0, 0xff, 0x81, 21]),
    Buffer.alloc(10),
    Buffer.from("ijklmnopqrst\0mysql_native_password\0"),
  ]),
);
const DENIED = packet(4, Buffer.from("\xff\x15\x04#28000Access denied", "latin1"));

/** A server that asks for another way of authentication, and lets nobody in. Its port, and what clients answered. */
async function startAsking(t: TestContext, plugin: string) {
  const answers: string[] = [];
  const asked = packet(2, Buffer.concat([Buffer.from(`\xfe${plugin}\0`, "latin1"), Buffer.alloc(32, 7)]));
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.write(GREETING);
    socket.once("data", () => {
      socket.write(asked);
      socket.on("data", (bytes) => {
        answers.push(bytes.subarray(4).toString("latin1"));
        socket.write(DENIED);
      });
    });
    t.after(() => socket.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => server.close());
  return { port: (server.address() as AddressInfo).port, answers }; // sound: it listens on TCP
}

describe("a server that asks for an authentication plugin", () => {
  const plugins = [
    { plugin: "client_ed25519", code: "ERR_MYSQL_AUTH_PLUGIN", hint: /IDENTIFIED VIA mysql_native_password/ },
    { plugin: "dialog", code: "ERR_MYSQL_AUTH_PLUGIN", hint: /IDENTIFIED WITH caching_sha2_password/ },
    { plugin: "mysql_clear_password", code: "ERR_MYSQL_CLEARTEXT", hint: /allowCleartextPasswords=true/ },
  ];
  for (const { plugin, ...told } of plugins)
    test(`that is ${plugin} is left at once, with the cure, by who writes and by who reads`, async (t) => {
      const { port, answers } = await startAsking(t, plugin);
      const dsn = `u:${PASSWORD}@tcp(127.0.0.1:${port})/x`;
      const refusal = { ...told, message: new RegExp(`asks for ${plugin}`) };
      await assert.rejects(
        openUntilWaiting((options) => openMysqlDriver({ dsn, ...options })),
        refusal,
      );
      const signal = AbortSignal.timeout(5000);
      await assert.rejects(openMysqlReader({ dsn, log: collectLog().log, signal }), refusal);
      assert.deepEqual(answers, []);
    });

  test("that is mysql_clear_password gets it where allowCleartextPasswords says so", async (t) => {
    const { port, answers } = await startAsking(t, "mysql_clear_password");
    const dsn = `u:${PASSWORD}@tcp(127.0.0.1:${port})/x?allowCleartextPasswords=true`;
    await assert.rejects(
      openUntilWaiting((options) => openMysqlDriver({ dsn, ...options })),
      { code: "ERR_MYSQL_ACCESS" },
    );
    assert.deepEqual(answers, [`${PASSWORD}\0`]);
  });
});
