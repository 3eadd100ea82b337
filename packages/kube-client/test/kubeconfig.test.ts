import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { stringify } from "yaml";
import { loadKubeconfig } from "../src/index.ts";

const SERVER = "https://127.0.0.1:6443";
const base64 = (text: string) => Buffer.from(text).toString("base64");

async function write(t: TestContext, text: string, files: Readonly<Record<string, string>> = {}): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "k3s-kubeconfig-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  for (const [name, content] of Object.entries(files)) await writeFile(join(folder, name), content);
  const path = join(folder, "config");
  await writeFile(path, text);
  return path;
}

function config(cluster: object, user: object, context = "here"): string {
  return stringify({
    "current-context": context,
    contexts: [
      { name: "elsewhere", context: { cluster: "other", user: "other" } },
      { name: "here", context: { cluster: "c", user: "u" } },
    ],
    clusters: [{ name: "c", cluster: { server: SERVER, ...cluster } }],
    users: [{ name: "u", user }],
  });
}

describe("loadKubeconfig()", () => {
  test("reads what is in the file itself, bytes and all", async (t) => {
    const data = { "client-certificate-data": base64("cert"), "client-key-data": base64("key") };
    const path = await write(t, config({ "certificate-authority-data": base64("ca\n") }, data));
    assert.deepEqual(await loadKubeconfig(path), {
      ...{ server: SERVER, ca: Buffer.from("ca\n"), serverName: undefined },
      ...{ cert: "cert", key: "key", bearerToken: undefined },
    });
  });

  test("reads the files it names, from its own folder on", async (t) => {
    const names = { "certificate-authority": "ca.crt", "tls-server-name": "api" };
    const path = await write(t, config(names, { tokenFile: "token" }), { "ca.crt": "ca", token: "secret\n" });
    assert.deepEqual(await loadKubeconfig(path), {
      ...{ server: SERVER, ca: Buffer.from("ca"), serverName: "api" },
      ...{ cert: undefined, key: undefined, bearerToken: "secret" },
    });
  });

  for (const [title, text, code, message] of [
    ["no YAML", "a: [secret", "ERR_KUBECONFIG_MALFORMED", /it is no YAML/],
    ["nothing", "", "ERR_KUBECONFIG_MALFORMED", /no "" among its contexts/],
    ["a context that is not there", config({}, {}, "gone"), "ERR_KUBECONFIG_MALFORMED", /no "gone" among its contexts/],
    ["another's cluster", config({}, {}, "elsewhere"), "ERR_KUBECONFIG_MALFORMED", /no "other" among its clusters/],
    ["a server without TLS", config({ server: "http://a" }, {}), "ERR_KUBECONFIG_MALFORMED", /begins with https/],
    [
      "an unverified server",
      config({ "insecure-skip-tls-verify": true }, {}),
      "ERR_KUBECONFIG_UNSUPPORTED",
      /nobody verif/,
    ],
    ["a program", config({}, { exec: { command: "x" } }), "ERR_KUBECONFIG_UNSUPPORTED", /credentials by "exec"/],
    [
      "a missing file",
      config({ "certificate-authority": "ca" }, {}),
      "ERR_KUBECONFIG_ABSENT",
      /\/ca": there is no such/,
    ],
    ["a folder", config({ "certificate-authority": "." }, {}), "ERR_KUBECONFIG_UNREADABLE", /EISDIR/],
  ] as const) {
    test(`says what is wrong with ${title}`, async (t) => {
      await assert.rejects(loadKubeconfig(await write(t, text)), (error: Error & { code?: string }) => {
        assert.equal(error.code, code);
        assert.match(error.message, message);
        assert.doesNotMatch(error.message, /secret/);
        return true;
      });
    });
  }
});
