import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { TestContext } from "node:test";

// Prints what it receives. Perl and its Socket module are part of every Debian system; Node has no datagram sockets with paths.
const LISTENER = `
  use Socket; $| = 1;
  socket(my $s, AF_UNIX, SOCK_DGRAM, 0) or die $!;
  bind($s, pack_sockaddr_un($ARGV[0])) or die $!;
  print "listening\\n";
  while (defined recv($s, my $m, 65536, 0)) { print $m; }
`;

/** A service manager that listens on `socket`: gives the messages it receives, in order, without their line feeds. */
export async function serviceManager(t: TestContext, socket: string): Promise<{ next(): Promise<string> }> {
  const listener = spawn("perl", ["-e", LISTENER, socket], { stdio: ["ignore", "pipe", "inherit"] });
  t.after(() => listener.kill("SIGKILL"));
  const lines = createInterface(listener.stdout)[Symbol.asyncIterator]();
  await lines.next();
  return { next: async () => String((await lines.next()).value) };
}
