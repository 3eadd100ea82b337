import assert from "node:assert/strict";
import { generateKeyPairSync } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { ensureServerPki, serverTlsPaths } from "@k3s/pki";
import { findTlsProblems } from "../src/index.ts";

/** Real certificates: those of a server. */
async function certificates(t: TestContext) {
  const serverDir = await mkdtemp(join(tmpdir(), "k3s-endpoint-tls-"));
  t.after(() => rm(serverDir, { recursive: true, force: true }));
  await ensureServerPki({
    serverDir,
    clusterDomain: "cluster.local",
    sans: ["127.0.0.1"],
    apiServerUrl: "https://127.0.0.1:6444",
  });
  const tls = serverTlsPaths(serverDir);
  const otherKey = join(serverDir, "other.key");
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  await writeFile(otherKey, privateKey.export({ type: "pkcs8", format: "pem" }));
  const garbage = join(serverDir, "garbage");
  await writeFile(garbage, "no certificate");
  return { ca: tls.serverCa.cert, ...tls.clientApiServer, otherKey, garbage };
}

describe("findTlsProblems()", () => {
  test("has nothing to say about files that go together, or about none", async (t) => {
    const { ca, cert, key } = await certificates(t);
    assert.deepEqual(await findTlsProblems({ caFile: ca, certFile: cert, keyFile: key }), []);
    assert.deepEqual(await findTlsProblems({}), []);
    assert.deepEqual(await findTlsProblems({ caFile: ca }), []);
  });

  test("names the file that is wrong", async (t) => {
    const { ca, cert, key, otherKey, garbage } = await certificates(t);
    const cases = [
      [{ certFile: cert }, "keyFile", /together with the certificate/],
      [{ keyFile: key }, "certFile", /together with the key/],
      [{ caFile: `${ca}.gone` }, "caFile", /cannot be read: ENOENT/],
      [{ caFile: garbage }, "caFile", /holds no PEM certificate/],
      [{ certFile: garbage, keyFile: key }, "certFile", /cannot be used/],
      [{ certFile: cert, keyFile: otherKey }, "certFile", /cannot be used/],
      [{ certFile: cert, keyFile: join(garbage, "x") }, "keyFile", /cannot be read: ENOTDIR/],
    ] as const;
    for (const [tls, file, reason] of cases) {
      const problems = await findTlsProblems(tls);
      assert.deepEqual(
        problems.map((problem) => problem.file),
        [file],
        JSON.stringify(problems),
      );
      assert.match(problems[0]?.reason ?? "", reason);
    }
  });
});
