// Serves the files of a folder over HTTP: serve-releases.ts FOLDER ADDRESS PORT. Prints a line once it listens.
import { createReadStream } from "node:fs";
import { readFile, stat } from "node:fs/promises";
import { createServer, type ServerResponse } from "node:http";
import { join, normalize } from "node:path";
import { pipeline } from "node:stream/promises";

const [folder = ".", address, port] = process.argv.slice(2);

/** A file of the same name with the ending `.cut` holds after how many bytes the connection breaks. */
async function send(path: string, response: ServerResponse): Promise<void> {
  const { size } = await stat(path);
  response.writeHead(200, { "content-length": size });
  const cut = await readFile(`${path}.cut`, "utf8").catch(() => undefined);
  const end = cut === undefined ? size : Number(cut);
  await pipeline(createReadStream(path, { end: Math.max(0, end - 1) }), response, { end: end === size });
  response.destroy();
}

const server = createServer((request, response) => {
  const path = normalize(decodeURIComponent(request.url ?? "/"));
  send(join(folder, path), response).catch(() => {
    if (!response.headersSent) response.writeHead(404);
    response.end();
  });
});
server.listen(Number(port), address, () => process.stdout.write("listening\n"));
