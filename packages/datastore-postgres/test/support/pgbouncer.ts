import { writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { once } from "node:events";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { findProgram, freePort, Program } from "@k3s/testkit";

interface PgBouncerOptions {
  /** Existing folder for its settings. */
  readonly folder: string;
  readonly poolMode: "session" | "transaction";
  /** Port of the server on loopback, which takes user postgres for all. */
  readonly serverPort: number;
}

/** PgBouncer refuses to run as root. In a user namespace root is somebody else. */
const AS_NOBODY = ["--user", "--map-user=65534", "--map-group=65534"];

/** Starts a PgBouncer that ends with the test. Resolves with its port when it takes connections. */
export async function startPgBouncer(t: TestContext, options: PgBouncerOptions): Promise<number> {
  const { folder, poolMode, serverPort } = options;
  const port = await freePort();
  const settings = join(folder, `pgbouncer-${port}.ini`);
  await writeFile(
    settings,
    `[databases]
* = host=127.0.0.1 port=${serverPort} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = any
pool_mode = ${poolMode}
`,
  );
  const program = await Program.start("unshare", {
    args: [...AS_NOBODY, await findProgram("pgbouncer"), settings],
    cwd: folder,
  });
  t.after(() => program.stop());
  await program.ready("PgBouncer takes connections", async () => {
    const socket = connect({ port, host: "127.0.0.1" });
    await once(socket, "connect").finally(() => socket.destroy());
    return true;
  });
  return port;
}
