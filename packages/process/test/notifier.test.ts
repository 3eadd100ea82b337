import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, test, type TestContext } from "node:test";
import { createNotifier } from "../src/notifier.ts";
import { LogBook, temporaryFolder } from "./support.ts";

// Prints each datagram as hex. perl-base is part of every Debian system, and the Socket module of it.
const LISTENER = `
  use Socket; $| = 1;
  socket(my $s, AF_UNIX, SOCK_DGRAM, 0) or die $!;
  bind($s, pack_sockaddr_un($ARGV[0])) or die $!;
  print "listening\\n";
  while (defined recv($s, my $m, 65536, 0)) { print unpack("H*", $m), "\\n"; }
`;

/** A service manager: gives the messages it receives, in order. */
async function serviceManager(t: TestContext) {
  const socket = join(temporaryFolder(t), "notify.sock");
  const listener = spawn("perl", ["-e", LISTENER, socket], { stdio: ["ignore", "pipe", "inherit"] });
  t.after(() => listener.kill("SIGKILL"));
  const lines = createInterface(listener.stdout)[Symbol.asyncIterator]();
  await lines.next();
  const next = async () => Buffer.from(String((await lines.next()).value), "hex").toString();
  return { socket, next, listener };
}

const HEALTHY = () => Promise.resolve();

describe("createNotifier()", () => {
  test("tells the service manager what happens", async (t) => {
    const { socket, next } = await serviceManager(t);
    const notifier = createNotifier(socket, { log: new LogBook().log });
    await notifier.status("starting\nkubelet");
    assert.equal(await next(), "STATUS=starting kubelet\n");
    await notifier.ready();
    assert.equal(await next(), "READY=1\n");
    await notifier.stopping();
    assert.equal(await next(), "STOPPING=1\n");
  });

  test("pings the watchdog until its signal aborts", async (t) => {
    const { socket, next } = await serviceManager(t);
    const stop = new AbortController();
    const notifier = createNotifier(socket, { log: new LogBook().log, watchdogUsec: "20000" });
    const pinging = notifier.keepAlive(HEALTHY, stop.signal);
    assert.deepEqual([await next(), await next()], ["WATCHDOG=1\n", "WATCHDOG=1\n"]);
    stop.abort();
    await pinging;
  });

  test("pings on while the node is not healthy, and shows why until it is", async (t) => {
    const { socket, next } = await serviceManager(t);
    const book = new LogBook();
    const stop = new AbortController();
    const notifier = createNotifier(socket, { log: book.log, watchdogUsec: "20000" });
    let isHealthy = false;
    const check = () => (isHealthy ? Promise.resolve() : Promise.reject(new Error("apiserver is gone")));
    const pinging = notifier.keepAlive(check, stop.signal);
    const nextStatus = async () => {
      for (let pings = 0; ; pings++) {
        const message = await next();
        if (message !== "WATCHDOG=1\n") return { message, pings };
      }
    };
    assert.equal((await nextStatus()).message, "STATUS=Running, but not healthy: apiserver is gone\n");
    assert.equal(book.entries.get().find((line) => line.level === "warn")?.["error"], "apiserver is gone");
    assert.deepEqual([await next(), await next()], ["WATCHDOG=1\n", "WATCHDOG=1\n"]);
    isHealthy = true;
    assert.equal((await nextStatus()).message, "STATUS=Running\n");
    stop.abort();
    await pinging;
  });

  test("pings on while a health check hangs", async (t) => {
    const { socket, next } = await serviceManager(t);
    const stop = new AbortController();
    const notifier = createNotifier(socket, { log: new LogBook().log, watchdogUsec: "20000" });
    const pinging = notifier.keepAlive(() => new Promise(() => undefined), stop.signal);
    assert.deepEqual([await next(), await next()], ["WATCHDOG=1\n", "WATCHDOG=1\n"]);
    stop.abort();
    await pinging;
  });

  for (const watchdogUsec of [undefined, "", "0", "soon"]) {
    test(`has no watchdog when WATCHDOG_USEC is ${JSON.stringify(watchdogUsec)}`, async () => {
      const notifier = createNotifier("/nonexistent", { log: new LogBook().log, watchdogUsec });
      await notifier.keepAlive(HEALTHY, new AbortController().signal);
    });
  }

  for (const socket of [undefined, ""]) {
    test(`does nothing when NOTIFY_SOCKET is ${JSON.stringify(socket)}`, async () => {
      const book = new LogBook();
      await createNotifier(socket, { log: book.log }).ready();
      assert.deepEqual(book.entries.get(), []);
    });
  }

  test("only warns when nobody listens", async () => {
    const book = new LogBook();
    await createNotifier("/nonexistent/notify.sock", { log: book.log }).ready();
    const [entry] = book.entries.get();
    assert.deepEqual([entry?.level, entry?.msg], ["warn", "cannot notify the service manager"]);
  });

  test("waits for a service manager that is behind", async (t) => {
    const { socket, next, listener } = await serviceManager(t);
    const notifier = createNotifier(socket, { log: new LogBook().log });
    listener.kill("SIGSTOP");
    // More than the queue of a datagram socket holds (net.unix.max_dgram_qlen, 10 to 512).
    const sending = Promise.all(Array.from({ length: 600 }, (_, index) => notifier.status(String(index))));
    await new Promise((resolve) => setImmediate(resolve));
    listener.kill("SIGCONT");
    await sending;
    const received = new Set<string>();
    for (let count = 0; count < 600; count++) received.add(await next());
    assert.equal(received.size, 600);
  });
});
