import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { promisify } from "node:util";

const run = promisify(execFile);

/** An empty folder that goes with the test. */
export async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "token-"));
  t.after(() => rm(path, { recursive: true, force: true }));
  return path;
}

/** Runs openssl and returns what it prints; rejects when it fails. */
export async function openssl(...args: readonly string[]): Promise<string> {
  const { stdout } = await run("openssl", args, { timeout: 20_000 });
  return stdout;
}

interface Authority {
  readonly dir: string;
  readonly name: string;
  /** Name of the CA that signs; its own when absent. */
  readonly issuer?: string;
  readonly extensions?: readonly string[];
  readonly days?: number;
}

/** A CA made by openssl: `<name>.crt` and `<name>.key` in the folder. Returns the path of the certificate. */
export async function makeAuthority({ dir, name, issuer, extensions = [], days = 30 }: Authority): Promise<string> {
  const cert = join(dir, `${name}.crt`);
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", join(dir, `${name}.key`)];
  const ca = ["basicConstraints=critical,CA:TRUE", ...extensions].flatMap((extension) => ["-addext", extension]);
  const signer = issuer === undefined ? [] : ["-CA", join(dir, `${issuer}.crt`), "-CAkey", join(dir, `${issuer}.key`)];
  await openssl("req", "-x509", ...key, ...ca, ...signer, "-days", `${days}`, "-subj", `/CN=${name}`, "-out", cert);
  return cert;
}
