import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { TestContext } from "node:test";
import { formatTar } from "@k3s/components";

const MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json";
const INDEX_TYPE = "application/vnd.oci.image.index.v1+json";

interface Content {
  readonly type: string;
  readonly data: Buffer;
}

export interface TestRegistry {
  /** Host and port, as they stand in a reference. */
  readonly host: string;
  /** Every request that was answered, as `GET /v2/…`. */
  readonly requests: readonly string[];
  /** Ends it, with its connections. */
  readonly close: () => void;
}

/** A registry (OCI distribution) with one image, `team/app:1`; with `authorization` only for those who send it. */
export async function startRegistry(t: TestContext, authorization?: string): Promise<TestRegistry> {
  const contents = imageContents();
  const requests: string[] = [];
  const server = createServer((request, response) => {
    const found = contents.get(request.url ?? "");
    const isAllowed = authorization === undefined || request.headers.authorization === authorization;
    if (!isAllowed) response.writeHead(401).end();
    else if (found === undefined) response.writeHead(404).end();
    else {
      requests.push(`${request.method ?? ""} ${request.url ?? ""}`);
      const headers = { "content-type": found.type, "content-length": found.data.length };
      response.writeHead(200, { ...headers, "docker-content-digest": digestOf(found.data) });
      response.end(request.method === "HEAD" ? undefined : found.data);
    }
  });
  const close = () => {
    server.close();
    server.closeAllConnections();
  };
  t.after(close);
  await once(server.listen(0, "127.0.0.1"), "listening");
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("Cannot start the registry: no port");
  return { host: `127.0.0.1:${address.port}`, requests, close };
}

/** By path: an index of two processors; only what is for this one is there, as with an image that was copied in part. */
function imageContents(): Map<string, Content> {
  const architecture = process.arch === "x64" ? "amd64" : process.arch;
  const layer = formatTar([{ type: "file", path: "app", mode: 0o755, data: Buffer.from("app") }]);
  const rootfs = { type: "layers", diff_ids: [digestOf(layer)] };
  const config = toJson({ architecture, os: "linux", config: { Entrypoint: ["/app"] }, rootfs });
  const manifest = toJson({
    ...{ schemaVersion: 2, mediaType: MANIFEST_TYPE },
    config: describe("application/vnd.oci.image.config.v1+json", config),
    layers: [describe("application/vnd.oci.image.layer.v1.tar", layer)],
  });
  const index = toJson({
    ...{ schemaVersion: 2, mediaType: INDEX_TYPE },
    manifests: [
      { ...describe(MANIFEST_TYPE, Buffer.from("of another")), platform: { architecture: "s390x", os: "linux" } },
      { ...describe(MANIFEST_TYPE, manifest), platform: { architecture, os: "linux" } },
    ],
  });
  const base = "/v2/team/app";
  return new Map<string, Content>([
    ["/v2/", { type: "application/json", data: Buffer.from("{}") }],
    ...[layer, config].map(
      (data) => [`${base}/blobs/${digestOf(data)}`, { type: "application/octet-stream", data }] as const,
    ),
    [`${base}/manifests/${digestOf(manifest)}`, { type: MANIFEST_TYPE, data: manifest }],
    ...["1", digestOf(index)].map((name) => [`${base}/manifests/${name}`, { type: INDEX_TYPE, data: index }] as const),
  ]);
}

function toJson(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value));
}

function describe(mediaType: string, data: Buffer) {
  return { mediaType, size: data.length, digest: digestOf(data) };
}

function digestOf(data: Buffer): string {
  return `sha256:${createHash("sha256").update(data).digest("hex")}`;
}
