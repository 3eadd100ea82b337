import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { promisify } from "node:util";

/** Files of a certificate for 127.0.0.1 that is its own authority, removed after the test. */
export async function testCertificate(t: TestContext): Promise<{ readonly cert: string; readonly key: string }> {
  const folder = await mkdtemp(join(tmpdir(), "control-plane-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const pair = { cert: join(folder, "server.crt"), key: join(folder, "server.key") };
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  const subject = ["-subj", "/CN=probe", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"];
  const files = ["-keyout", pair.key, "-out", pair.cert];
  await promisify(execFile)("openssl", ["req", "-x509", ...curve, ...subject, ...files]);
  return pair;
}
