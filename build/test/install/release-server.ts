import { createHash } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import type { TestContext } from "node:test";
import { gzipSync, zstdCompressSync } from "node:zlib";

/** A release server on loopback. */
export interface ReleaseServer {
  readonly url: string;
  /** What was asked for, in order. */
  readonly requests: readonly string[];
  /** Makes a release of an executable, with its compressed forms and checksums. */
  publish(version: string, executable: string): void;
  /** Serves other bytes under a path, or, when they are cut, fewer than are announced. */
  replace(path: string, bytes: Buffer, announcedBytes?: number): void;
  /** Lets a channel lead to a release, as a redirection or as a text. */
  channel(name: string, target: { readonly redirect: string } | { readonly text: string }): void;
}

interface Entry {
  readonly bytes: Buffer;
  readonly announcedBytes: number;
  readonly location?: string;
}

export async function startReleaseServer(t: TestContext): Promise<ReleaseServer> {
  const entries = new Map<string, Entry>();
  const requests: string[] = [];
  const server = createServer((request, response) => {
    const path = decodeURIComponent(request.url ?? "");
    requests.push(path);
    const entry = entries.get(path);
    if (entry === undefined) return response.writeHead(404).end();
    if (entry.location !== undefined) return response.writeHead(302, { location: entry.location }).end();
    response.writeHead(200, { "content-length": entry.announcedBytes });
    response.write(entry.bytes, () =>
      entry.announcedBytes > entry.bytes.length ? response.destroy() : response.end(),
    );
    return undefined;
  });
  t.after(() => server.close());
  await once(server.listen(0, "127.0.0.1"), "listening");
  const { port } = server.address() as AddressInfo;
  const put = (path: string, bytes: Buffer, announcedBytes = bytes.length) => {
    entries.set(path, { bytes, announcedBytes });
  };
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    publish: (version, executable) => {
      const plain = Buffer.from(executable);
      const forms = { k3s: plain, "k3s.gz": gzipSync(plain), "k3s.zst": zstdCompressSync(plain) };
      const lines = Object.entries(forms).map(([name, bytes]) => `${sha256(bytes)}  ${name}\n`);
      put(`/${version}/sha256sum-amd64.txt`, Buffer.from(lines.join("")));
      for (const [name, bytes] of Object.entries(forms)) put(`/${version}/${name}`, bytes);
    },
    replace: put,
    channel: (name, target) => {
      if ("text" in target) {
        put(`/channels/${name}`, Buffer.from(target.text));
        return;
      }
      put(`/releases/${target.redirect}`, Buffer.from("a page"));
      entries.set(`/channels/${name}`, {
        ...{ bytes: Buffer.alloc(0), announcedBytes: 0, location: `/releases/${target.redirect.replace("+", "%2B")}` },
      });
    },
  };
}

function sha256(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}
