import { execFile } from "node:child_process";
import { cp, mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, type TestContext } from "node:test";
import { promisify } from "node:util";
import { createLogger, type Logger } from "@k3s/log";
import { makeServerPki, type ServerPkiRequest } from "../src/make-server-pki.ts";
import { ensureServerPki, type ServerPki, type ServerPkiOptions } from "../src/index.ts";

const run = promisify(execFile);

/** An empty folder that goes with the test. */
export async function folder(t: TestContext): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), "pki-"));
  t.after(() => rm(path, { recursive: true, force: true }));
  return path;
}

/** Runs openssl and returns what it prints; rejects when it fails. */
export async function openssl(...args: readonly string[]): Promise<string> {
  const { stdout } = await run("openssl", args, { timeout: 20_000 });
  return stdout;
}

/** One line per certificate of a PEM file: its subject. */
export async function subjects(bundle: string): Promise<string[]> {
  const text = await openssl("storeutl", "-noout", "-text", "-certs", bundle);
  return [...text.matchAll(/Subject: (.*)/g)].map(([, subject = ""]) => subject);
}

export const NAMES = ["node1", "10.0.0.5", "localhost", "127.0.0.1", "::1"];

export function options(serverDir: string, changes: Partial<ServerPkiOptions> = {}): ServerPkiOptions {
  return { serverDir, clusterDomain: "cluster.local", sans: NAMES, apiServerUrl: "https://127.0.0.1:6444", ...changes };
}

/** The same for the part that runs in the worker, called right here: a thread per test would only cost time. */
export function request(serverDir: string, changes: Partial<ServerPkiRequest> = {}): ServerPkiRequest {
  return { ...options(serverDir), now: new Date(), leafLifetimeDays: 365, ...changes };
}

/** A complete server folder of its own for this test. */
export async function madeServer(
  t: TestContext,
  changes: Partial<ServerPkiOptions> = {},
): Promise<ServerPki & { serverDir: string }> {
  const serverDir = join(await folder(t), "server");
  return { ...(await ensureServerPki(options(serverDir, changes))), serverDir };
}

/** A copy of a folder with all its times. */
async function copyOf(t: TestContext, path: string): Promise<string> {
  const copy = join(await folder(t), "server");
  await cp(path, copy, { recursive: true, preserveTimestamps: true });
  return copy;
}

/** One finished server folder for all tests of a file: each takes its own copy. Call it at the top of the file. */
export function sharedServer(now = new Date()): (t: TestContext) => Promise<string> {
  const shared = { dir: "" };
  before(async () => {
    shared.dir = await mkdtemp(join(tmpdir(), "pki-shared-"));
    await makeServerPki(request(join(shared.dir, "server"), { now }));
  });
  after(() => rm(shared.dir, { recursive: true, force: true }));
  return (t) => copyOf(t, join(shared.dir, "server"));
}

/** Path → everything that tells whether a file was touched. */
export async function fingerprint(path: string): Promise<Map<string, string>> {
  const names = await readdir(path, { recursive: true, withFileTypes: true });
  const files = names.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const lines = files.sort().map(async (file): Promise<[string, string]> => {
    const { mtimeNs, ino, mode } = await stat(file, { bigint: true });
    return [file.slice(path.length + 1), `${mtimeNs} ${ino} ${mode} ${await readFile(file, "base64")}`];
  });
  return new Map(await Promise.all(lines));
}

/** The paths whose fingerprint differs, sorted. */
export function changed(before: Map<string, string>, after: Map<string, string>): string[] {
  const paths = new Set([...before.keys(), ...after.keys()]);
  return [...paths].filter((path) => before.get(path) !== after.get(path)).sort();
}

/** A logger and the lines it wrote. */
export function recordingLogger(): { readonly log: Logger; readonly lines: string[] } {
  const lines: string[] = [];
  return { log: createLogger({ level: "debug", format: "text", write: (line) => lines.push(line) }), lines };
}
