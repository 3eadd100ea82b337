import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, test, type TestContext } from "node:test";
import { promisify } from "node:util";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import {
  flock,
  isCached,
  isLockedElsewhere,
  netlinkRoute,
  notify,
  releaseCode,
  releaseFree,
  waitpid,
} from "@k3s/native";

const run = promisify(execFile);

function temporaryFolder(t: TestContext): string {
  const folder = mkdtempSync(join(tmpdir(), "native-"));
  t.after(() => rmSync(folder, { recursive: true }));
  return folder;
}

function openFile(t: TestContext, path: string): number {
  const fd = openSync(path, "a");
  t.after(() => closeSync(fd));
  return fd;
}

describe("isCached()", () => {
  const MIB = 1024 * 1024;

  test("is false as long as one page is not in memory", (t) => {
    const path = join(temporaryFolder(t), "file");
    const fd = openSync(path, "w+");
    t.after(() => closeSync(fd));
    assert.equal(isCached(fd, MIB), true, "nothing has to be read");
    writeFileSync(path, Buffer.alloc(100_000, "x"));
    assert.equal(isCached(fd, MIB), true);
    truncateSync(path, MIB);
    assert.equal(isCached(fd, MIB), false, "the end is a hole");
    writeFileSync(path, Buffer.alloc(MIB, "x"));
    assert.equal(isCached(fd, MIB), true);
    assert.equal(isCached(fd, MIB - 1), false, "it is too large to be looked at");
  });

  test("refuses what is no open file", () => {
    assert.throws(() => isCached(1_000_000, MIB), { code: "EBADF" });
  });
});

describe("isLockedElsewhere()", () => {
  test("is true while another process has a lock on any part of the file", async (t) => {
    const path = join(temporaryFolder(t), "file");
    const fd = openFile(t, path);
    assert.equal(isLockedElsewhere(fd), false);
    const script = `import fcntl, sys
file = open(sys.argv[1], "r+")
fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, 2 ** 30)
print("locked", flush=True)
sys.stdin.read()`;
    const child = spawn("python3", ["-c", script, path], { stdio: ["pipe", "pipe", "inherit"] });
    t.after(() => child.kill("SIGKILL"));
    const ended = once(child, "exit");
    await once(child.stdout, "data");
    assert.equal(isLockedElsewhere(fd), true);
    child.stdin.end();
    await ended;
    assert.equal(isLockedElsewhere(fd), false);
  });

  test("refuses what is no open file", () => {
    assert.throws(() => isLockedElsewhere(1_000_000), { code: "EBADF" });
  });
});

describe("flock()", () => {
  test("takes a lock that flock(1) then cannot have", async (t) => {
    const path = join(temporaryFolder(t), "lock");
    assert.equal(flock(openFile(t, path)), true);
    await assert.rejects(run("flock", ["--nonblock", path, "true"]), { code: 1 });
  });

  test("is false when another open file has the lock, true again once that is closed", (t) => {
    const path = join(temporaryFolder(t), "lock");
    const first = openSync(path, "a");
    const second = openFile(t, path);
    assert.equal(flock(first), true);
    assert.equal(flock(second), false);
    closeSync(first);
    assert.equal(flock(second), true);
  });

  test("throws with the system's code when there is no such file descriptor", () => {
    assert.throws(() => flock(-1), { code: "EBADF", message: "Cannot lock file: Bad file descriptor" });
  });
});

// perl-base is part of every Debian system, and the Socket module of it.
const LISTENER = `
  use Socket; $| = 1;
  my $name = $ARGV[0]; $name =~ s/^@/\\0/;
  socket(my $s, AF_UNIX, SOCK_DGRAM, 0) or die $!;
  bind($s, pack_sockaddr_un($name)) or die $!;
  print "listening\\n";
  while (defined recv($s, my $m, 65536, 0)) { print unpack("H*", $m), "\\n"; }
`;

describe("notify()", () => {
  const cases = [
    { name: "a path", address: (folder: string) => join(folder, "notify.sock") },
    { name: "an abstract name", address: (folder: string) => `@${folder}` },
  ];
  for (const { name, address } of cases) {
    test(`delivers the message as one datagram to ${name}`, { timeout: 10_000 }, async (t) => {
      const socket = address(temporaryFolder(t));
      const listener = spawn("perl", ["-e", LISTENER, socket], { stdio: ["ignore", "pipe", "inherit"] });
      t.after(() => listener.kill("SIGKILL"));
      const lines = createInterface(listener.stdout)[Symbol.asyncIterator]();
      await lines.next();
      notify(socket, "READY=1\nSTATUS=größer\n");
      const { value } = await lines.next();
      assert.equal(Buffer.from(String(value), "hex").toString(), "READY=1\nSTATUS=größer\n");
    });
  }

  const mistakes = [
    { name: "nobody listens", address: "/nonexistent/notify.sock", message: "x", code: "ENOENT" },
    { name: "the path is too long for a socket", address: `/${"x".repeat(200)}`, message: "x", code: "ENAMETOOLONG" },
    { name: "the message is too long", address: "/run/x", message: "x".repeat(5000), code: "EMSGSIZE" },
    { name: "the path is empty", address: "", message: "x", code: "EINVAL" },
  ];
  for (const { name, address, message, code } of mistakes) {
    test(`throws ${code} when ${name}`, () => assert.throws(() => notify(address, message), { code }));
  }
});

describe("waitpid()", () => {
  test("is undefined while the child runs, and leaves it to Node", async (t) => {
    const child = spawn("sleep", ["1000"]);
    t.after(() => child.kill("SIGKILL"));
    assert.equal(waitpid(child.pid ?? 0), undefined);
    child.kill("SIGKILL");
    assert.deepEqual(await once(child, "exit"), [null, "SIGKILL"]);
  });

  test("throws ECHILD when the process is not a child", () => {
    assert.throws(() => waitpid(process.pid), { code: "ECHILD" });
  });

  for (const pid of [0, -1]) {
    test(`refuses ${pid}, which would reap children at random`, () => assert.throws(() => waitpid(pid), TypeError));
  }
});

describe("releaseCode()", () => {
  test("leaves less of the executable mapped, and a process that works", () => {
    const before = mappedOfExecutable();
    releaseCode();
    const after = mappedOfExecutable();
    assert.ok(after < before / 2, `${before} kB mapped before, ${after} kB after`);
    assert.deepEqual(JSON.parse('{"still":"here"}'), { still: "here" });
  });
});

describe("releaseFree()", () => {
  test("gives back what was freed between blocks in use", async () => {
    const KEPT = 50;
    const blocks: (Buffer | undefined)[] = Array.from({ length: 40_000 }, () => Buffer.allocUnsafeSlow(2000).fill(1));
    for (const i of blocks.keys()) if (i % KEPT !== 0) blocks[i] = undefined;
    const isFreed = () => process.memoryUsage().arrayBuffers < 2000 * 40_000 * 0.1;
    setFlagsFromString("--expose-gc");
    const collect = runInNewContext("gc") as () => void; // sound: what the flag has added
    for (let tries = 0; tries < 1000 && !isFreed(); tries++) {
      collect(); // frees them on another thread
      await new Promise(setImmediate);
    }
    const before = process.memoryUsage.rss();
    releaseFree();
    const mib = (before - process.memoryUsage.rss()) / 2 ** 20;
    assert.ok(mib > 40, `${mib} MiB of 76 were given back`);
    assert.ok(blocks.every((block, i) => (i % KEPT === 0) === (block?.every((byte) => byte === 1) ?? false)));
  });
});

/** In kB. */
function mappedOfExecutable(): number {
  let total = 0;
  let isOurs = false;
  for (const line of readFileSync("/proc/self/smaps", "utf8").split("\n")) {
    if (/^[0-9a-f]+-[0-9a-f]+ /.test(line)) isOurs = line.endsWith(` ${process.execPath}`);
    else if (isOurs) total += Number(/^Rss: +(\d+) kB/.exec(line)?.[1] ?? 0);
  }
  return total;
}

describe("netlinkRoute()", () => {
  /** A request of `type` with the head of the message, zeroes for "all of them", behind the header of netlink(7). */
  function request(type: number, flags: number, bodyBytes: number): Buffer {
    const message = Buffer.alloc(16 + bodyBytes);
    message.writeUInt32LE(message.length, 0);
    message.writeUInt16LE(type, 4);
    message.writeUInt16LE(flags, 6);
    return message;
  }
  const GET_LINK = 18;
  const DUMP = 0x301;
  const WITH_ACKNOWLEDGEMENT = 0x5;

  test("returns a whole dump: the loopback interface first, DONE last", () => {
    const answer = netlinkRoute(request(GET_LINK, DUMP, 16));
    assert.equal(answer.readUInt16LE(4), 16, "RTM_NEWLINK");
    assert.ok(answer.includes("lo\0"));
    const types: number[] = [];
    for (let at = 0; at < answer.length; at += (answer.readUInt32LE(at) + 3) & ~3)
      types.push(answer.readUInt16LE(at + 4));
    assert.equal(types.at(-1), 3, "NLMSG_DONE");
  });

  test("hands over what the kernel says about a request it refuses", () => {
    const answer = netlinkRoute(request(GET_LINK, WITH_ACKNOWLEDGEMENT, 16));
    assert.deepEqual([answer.readUInt16LE(4), answer.readInt32LE(16)], [2, -22], "NLMSG_ERROR with EINVAL");
  });

  for (const wrong of [Buffer.alloc(3), "text"]) {
    test(`refuses ${typeof wrong === "string" ? "a text" : "a message without a header"}`, () =>
      assert.throws(() => netlinkRoute(wrong as Buffer), TypeError));
  }
});
