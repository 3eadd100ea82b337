import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { promisify } from "node:util";

/** A key and a certificate that it has signed itself. */
export async function testIdentity(t: TestContext): Promise<{ readonly cert: string; readonly key: string }> {
  const folder = await mkdtemp(join(tmpdir(), "k3s-http2-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const [cert, key] = [join(folder, "cert"), join(folder, "key")];
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
  const args = ["req", "-x509", ...curve, "-nodes", "-subj", "/CN=test", "-keyout", key, "-out", cert];
  await promisify(execFile)("openssl", args);
  return { cert: await readFile(cert, "utf8"), key: await readFile(key, "utf8") };
}
