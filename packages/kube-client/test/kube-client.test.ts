import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ApiError, applyManifests, isConflict } from "../src/index.ts";
import { startApiServer } from "./api-server.ts";

const soon = () => AbortSignal.timeout(10_000);

describe("KubeClient", () => {
  test("rejects with the status, reason and message of a metav1.Status", async (t) => {
    const { client } = await startApiServer(t, (_, response) => {
      response.statusCode = 409;
      response.end(JSON.stringify({ kind: "Status", reason: "AlreadyExists", message: 'nodes "a" already exists' }));
    });
    const refused = client.create("/api/v1/nodes", { metadata: { name: "a" } }, soon());
    await assert.rejects(
      refused,
      (error: unknown) => isConflict(error) && (error as ApiError).reason === "AlreadyExists",
    );
  });

  test("rejects with the text of an answer that is no Status", async (t) => {
    const { client } = await startApiServer(t, (_, response) => {
      response.statusCode = 502;
      response.end("bad gateway");
    });
    await assert.rejects(client.get("/api", soon()), {
      name: "ApiError",
      status: 502,
      message: "HTTP 502: bad gateway",
    });
  });

  test("sends each patch with its media type", async (t) => {
    const { client, seen } = await startApiServer(t, (_, response) => response.end("{}"));
    for (const type of ["json", "merge", "apply"] as const)
      await client.patch("/api/v1/nodes/a", { type, body: {} }, soon());
    assert.deepEqual(
      seen.map(({ contentType }) => contentType),
      ["application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"],
    );
  });

  test("gives up a request when its signal aborts", async (t) => {
    const controller = new AbortController();
    const { client } = await startApiServer(t, () => controller.abort());
    await assert.rejects(client.get("/api", controller.signal), { name: "AbortError" });
  });
});

describe("applyManifests()", () => {
  const resources = [
    { name: "configmaps", kind: "ConfigMap", namespaced: true },
    { name: "namespaces/status", kind: "Namespace", namespaced: false },
    { name: "namespaces", kind: "Namespace", namespaced: false },
  ];

  test("applies each document to its collection, in order", async (t) => {
    const { client, seen } = await startApiServer(t, (_, response) => response.end(JSON.stringify({ resources })));
    const namespace = "apiVersion: v1\nkind: Namespace\nmetadata: { name: n }\n";
    const configMap = "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: c, namespace: n }\n";
    await applyManifests(client, `${namespace}---\n---\n${configMap}`, soon());
    const patches = seen.filter(({ method }) => method === "PATCH").map(({ url }) => url);
    assert.deepEqual(patches, [
      "/api/v1/namespaces/n?fieldManager=k3s&force=true",
      "/api/v1/namespaces/n/configmaps/c?fieldManager=k3s&force=true",
    ]);
  });

  test("names the kind that the server does not know", async (t) => {
    const { client } = await startApiServer(t, (_, response) => response.end(JSON.stringify({ resources: [] })));
    const applied = applyManifests(client, "apiVersion: v1\nkind: Wizard\nmetadata: { name: w }\n", soon());
    await assert.rejects(applied, { message: 'Cannot apply Wizard "w": v1 has no such kind' });
  });

  test("refuses a document that is no object", async (t) => {
    const { client } = await startApiServer(t, (_, response) => response.end("{}"));
    await assert.rejects(applyManifests(client, "just text", soon()), TypeError);
  });
});
