import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { Server, ServerCredentials, type ServiceDefinition } from "@grpc/grpc-js";
import { criVersion } from "../src/cri-version.ts";

/** VersionResponse {version: "0.1.0", runtime_name: "containerd", runtime_version: "1.6.20", runtime_api_version: "v1"}. */
const RESPONSE = Buffer.from("0a05302e312e30120a636f6e7461696e6572641a06312e362e3230220276" + "31", "hex");

async function runtime(t: TestContext, service: string | undefined): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "cri-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const socket = join(folder, "cri.sock");
  const server = new Server();
  t.after(() => server.forceShutdown());
  const bytes = (data: Buffer) => data;
  const method = {
    requestStream: false,
    responseStream: false,
    requestDeserialize: bytes,
    responseSerialize: bytes,
  } as const;
  const definition = (name: string): ServiceDefinition => ({
    version: { ...method, path: `/${name}/Version`, requestSerialize: bytes, responseDeserialize: bytes },
  });
  if (service !== undefined)
    server.addService(definition(service), {
      version: (_: unknown, reply: (e: null, r: Buffer) => void) => reply(null, RESPONSE),
    });
  await new Promise<void>((resolve, reject) => {
    server.bindAsync(`unix://${socket}`, ServerCredentials.createInsecure(), (error) =>
      error === null ? resolve() : reject(error),
    );
  });
  return socket;
}

describe("criVersion()", () => {
  const limit = () => AbortSignal.timeout(10_000);

  for (const service of ["runtime.v1.RuntimeService", "runtime.v1alpha2.RuntimeService"])
    test(`asks ${service}`, async (t) => {
      const version = await criVersion(await runtime(t, service), limit());
      assert.deepEqual(version, { runtimeName: "containerd", runtimeVersion: "1.6.20" });
    });

  test("rejects a runtime without CRI", async (t) => {
    await assert.rejects(criVersion(await runtime(t, undefined), limit()), /does not offer CRI/);
  });

  test("rejects when nobody listens", async () => {
    await assert.rejects(criVersion("/nowhere/cri.sock", limit()), /UNAVAILABLE/);
  });

  test("rejects at once when it is cancelled already", async () => {
    await assert.rejects(criVersion("/nowhere/cri.sock", AbortSignal.abort(new Error("stopped"))), /stopped/);
  });
});
