import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { before, test } from "node:test";
import { getCACertificates, rootCertificates } from "node:tls";
import { ensureServerPki, serverTlsPaths, systemAuthorities, trustedAuthorities } from "../src/index.ts";

const list = { own: "" };

before(async () => {
  const serverDir = await mkdtemp(join(tmpdir(), "k3s-authorities-"));
  const apiServerUrl = "https://127.0.0.1:1";
  await ensureServerPki({ serverDir, clusterDomain: "c.local", sans: [], apiServerUrl });
  const { cert } = serverTlsPaths(serverDir).serverCa;
  process.env["SSL_CERT_FILE"] = cert; // the system's list, which Node reads once
  list.own = (await readFile(cert, "utf8")).trim();
  getCACertificates("system");
  await rm(serverDir, { recursive: true, force: true });
});

test("trustedAuthorities() holds Node's list and the system's, each CA once", () => {
  const blocks: string[] = trustedAuthorities().match(/-----BEGIN[^]+?-----END CERTIFICATE-----/g) ?? [];
  assert.equal(new Set(blocks).size, blocks.length);
  assert.equal(blocks.filter((pem) => list.own.includes(pem)).length, list.own.split("BEGIN").length - 1);
  for (const pem of rootCertificates) assert.ok(blocks.includes(pem.trim()));
});

test("systemAuthorities() holds the system's list", () => {
  assert.ok(systemAuthorities().some((pem) => list.own.includes(pem.trim())));
});
