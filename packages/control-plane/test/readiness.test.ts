import assert from "node:assert/strict";
import { once } from "node:events";
import { chmod, copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { parseVersion, type ComponentSet } from "@k3s/components";
import { createLogger } from "@k3s/log";
import { serverTlsPaths } from "@k3s/pki";
import { kubeApiserver, kubeControllerManager, kubeScheduler } from "../src/control-plane-children.ts";
import { lastArg, listenerAddress } from "../src/listener-address.ts";
import { fullOptions } from "./control-plane-options.ts";
import { testCertificate } from "./test-certificate.ts";

/** A listener that is healthy, options whose authority has signed its certificate, and programs that only run. */
async function healthy(t: TestContext) {
  const pair = await testCertificate(t);
  const [cert, key] = await Promise.all([readFile(pair.cert), readFile(pair.key)]);
  const server = createServer({ cert, key }, (_, response) => response.end("ok"));
  server.listen(0, "127.0.0.1");
  t.after(() => server.close());
  await once(server, "listening");
  const { port } = server.address() as AddressInfo; // a TCP server's address is no string
  const folder = await mkdtemp(join(tmpdir(), "readiness-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const authority = serverTlsPaths(folder).serverCa.cert;
  await mkdir(dirname(authority), { recursive: true });
  await copyFile(pair.cert, authority);
  const program = join(folder, "program");
  await writeFile(program, "#!/bin/sh\nexec sleep 60\n");
  await chmod(program, 0o755);
  const version = parseVersion("1.20.2");
  assert.ok(version !== undefined);
  const set: ComponentSet = {
    ...{ dir: folder, binDir: folder, cniBinDir: folder, imagesDir: folder },
    versions: { kubernetes: version, containerd: version, runc: version, cni: version },
    has: () => true,
    path: () => program,
  };
  const log = createLogger({ level: "info", format: "json", write: () => undefined });
  const env = { PATH: process.env["PATH"] ?? "" };
  return { port, options: fullOptions({ serverDirectory: folder }), runtime: { set, log, env } };
}

for (const { name, child, list } of [
  { name: "kubeControllerManager()", child: kubeControllerManager, list: "controllerManagerArgs" },
  { name: "kubeScheduler()", child: kubeScheduler, list: "schedulerArgs" },
] as const)
  test(`${name} is asked on the last of the user's ports`, async (t) => {
    const { port, options, runtime } = await healthy(t);
    const component = child({ ...options, [list]: ["secure-port=1", `secure-port+=${port}`] }, runtime);
    t.after(() => component.stop(AbortSignal.timeout(10_000)));
    await component.start({ signal: AbortSignal.timeout(10_000), lost: (error) => assert.ifError(error) });
    assert.equal(component.state.get().phase, "ready");
  });

describe("kubeApiserver()", () => {
  for (const version of ["v1.21.14", "v1.22.17", "v1.23.0", "v1.24.0"])
    test(`takes ${version}`, async (t) => {
      const { options, runtime } = await healthy(t);
      assert.equal(kubeApiserver({ ...options, kubernetesVersion: version }, runtime).name, "kube-apiserver");
    });
});

describe("listenerAddress()", () => {
  const cases = [
    { host: "0.0.0.0", port: 1, address: { host: "127.0.0.1", port: 1 } },
    { host: "::", port: 1, address: { host: "::1", port: 1 } },
    { host: "192.0.2.1", port: 1, address: { host: "192.0.2.1", port: 1 } },
    { host: "127.0.0.1", port: 0, address: undefined },
  ];
  for (const { host, port, address } of cases)
    test(`answers ${JSON.stringify(address)} for ${host} and ${port}`, () =>
      assert.deepEqual(listenerAddress(host, port), address));
});

test("lastArg() knows names that begin alike apart", () => {
  assert.equal(lastArg(["--port=1", "--port=2", "--port-range=3"], "port"), "2");
  assert.equal(lastArg(["--port-range=3"], "port"), undefined);
});
