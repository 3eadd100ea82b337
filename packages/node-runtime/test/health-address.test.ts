import assert from "node:assert/strict";
import { once } from "node:events";
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { parseVersion, type ComponentSet } from "@k3s/components";
import { createLogger } from "@k3s/log";
import type { SupervisedChild } from "@k3s/process";
import { kubeletHealth, kubeProxyHealth } from "../src/health-address.ts";
import { kubeProxy } from "../src/kube-proxy.ts";
import { kubelet } from "../src/kubelet.ts";
import type { NodeRuntimeOptions } from "../src/node-runtime-options.ts";
import { fullOptions, goodSettings } from "./node-options.ts";

async function temporary(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "health-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  return folder;
}

/** The port of a listener that answers health checks, and how often it was asked. */
async function healthy(t: TestContext) {
  let asked = 0;
  const server = createServer((_, response) => {
    asked++;
    response.end("ok");
  });
  server.listen(0, "127.0.0.1");
  t.after(() => server.close());
  await once(server, "listening");
  const { port } = server.address() as AddressInfo; // a TCP server's address is no string
  return { port, asked: () => asked };
}

/** Options whose programs do nothing but run. */
async function idle(folder: string): Promise<NodeRuntimeOptions> {
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
  return {
    ...fullOptions(),
    ...{ set, log: createLogger({ level: "info", format: "json", write: () => undefined }) },
    ...{ path: process.env["PATH"] ?? "", env: {}, debug: false, settings: goodSettings },
    agentDirectory: join(folder, "agent"),
    stateDirectory: join(folder, "run"),
    imageCredentialProvider: { binDirectory: "/nowhere", configFile: "/nowhere" },
  };
}

async function untilReady(t: TestContext, child: SupervisedChild): Promise<void> {
  t.after(() => child.stop(AbortSignal.timeout(10_000)));
  await child.start({ signal: AbortSignal.timeout(10_000), lost: (error) => assert.ifError(error) });
}

describe("kubelet()", () => {
  test("is asked on the port of the user's argument", async (t) => {
    const { port, asked } = await healthy(t);
    const options = await idle(await temporary(t));
    await untilReady(t, kubelet({ ...options, kubeletArgs: ["healthz-port=1", `healthz-port=${port}`] }));
    assert.equal(asked(), 1);
  });

  test("is asked on the port of the user's configuration", async (t) => {
    const { port, asked } = await healthy(t);
    const folder = await temporary(t);
    const own = join(folder, "own.yaml");
    await writeFile(own, `healthzPort: ${port}\n`);
    await untilReady(t, kubelet({ ...(await idle(folder)), kubeletArgs: [`config=${own}`] }));
    assert.equal(asked(), 1);
  });
});

test("kubeProxy() is asked on the address of the user's argument", async (t) => {
  const { port, asked } = await healthy(t);
  const options = await idle(await temporary(t));
  await untilReady(t, kubeProxy({ ...options, kubeProxyArgs: [`healthz-bind-address=127.0.0.1:${port}`] }));
  assert.equal(asked(), 1);
});

describe("kubeletHealth()", () => {
  const cases = [
    { args: [], config: {}, address: { host: "127.0.0.1", port: 10_248 } },
    { args: [], config: { healthzBindAddress: "::1", healthzPort: 9 }, address: { host: "::1", port: 9 } },
    { args: ["--healthz-port=8"], config: { healthzPort: 9 }, address: { host: "127.0.0.1", port: 8 } },
    { args: ["--healthz-bind-address=0.0.0.0"], config: {}, address: { host: "127.0.0.1", port: 10_248 } },
    { args: [], config: { healthzPort: 0 }, address: undefined },
  ];
  for (const { args, config, address } of cases)
    test(`finds ${JSON.stringify(address)} in ${JSON.stringify({ args, config })}`, () =>
      assert.deepEqual(kubeletHealth(args, config), address));
});

describe("kubeProxyHealth()", () => {
  const cases = [
    { args: ["--healthz-bind-address=::1"], address: { host: "::1", port: 10_256 } },
    { args: ["--healthz-bind-address=[::]:7"], address: { host: "::1", port: 7 } },
    { args: ["--healthz-bind-address=127.0.0.1", "--healthz-port=8"], address: { host: "127.0.0.1", port: 8 } },
    { args: ["--healthz-bind-address="], address: undefined },
    { args: ["--healthz-bind-address=127.0.0.1", "--healthz-port=0"], address: undefined },
  ];
  for (const { args, address } of cases)
    test(`finds ${JSON.stringify(address)} in ${args.join(" ")}`, async () =>
      assert.deepEqual(await kubeProxyHealth(args), address));

  test("looks into the user's file instead of the flags", async (t) => {
    const file = join(await temporary(t), "proxy.yaml");
    await writeFile(file, 'healthzBindAddress: "0.0.0.0:7"\n');
    const args = [`--config=${file}`, "--healthz-bind-address=127.0.0.1:8"];
    assert.deepEqual(await kubeProxyHealth(args), { host: "127.0.0.1", port: 7 });
  });
});
