import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { NodePasswords } from "@k3s/agent-endpoints";
import type { KubeClient } from "@k3s/kube-client";
import { createLogger } from "@k3s/log";
import { hashPassword } from "@k3s/token";
import { ServerError } from "../src/errors.ts";
import { guardOwnName } from "../src/guard-own-name.ts";

/** On a machine with the password "own", in a cluster whose Secret of the node is for `known`. */
async function guard(t: TestContext, { known, isShared }: { readonly known: string; readonly isShared: boolean }) {
  const folder = await mkdtemp(join(tmpdir(), "k3s-name-"));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const nodePasswordFile = join(folder, "password");
  await writeFile(nodePasswordFile, "own\n", { mode: 0o600 });
  const hash = Buffer.from(await hashPassword(known)).toString("base64");
  const get = (path: string) => {
    assert.ok(path.endsWith("/box.node-password.k3s"), path);
    return Promise.resolve({ metadata: { name: "box.node-password.k3s" }, data: { hash } });
  };
  const lines: string[] = [];
  const log = createLogger({ level: "info", format: "text", write: (line) => void lines.push(line) });
  const config = { nodeName: "box", paths: { nodePasswordFile } };
  const passwords = new NodePasswords(log, new AbortController().signal);
  // Sound: nothing else of the client is used.
  const client = () => ({ get }) as unknown as KubeClient;
  await guardOwnName({ config, isShared, passwords, client, log }, AbortSignal.timeout(60_000));
  return lines;
}

describe("guardOwnName()", () => {
  test("ends a server whose node's name is another machine's, with file and secret", async (t) => {
    await assert.rejects(guard(t, { known: "other", isShared: true }), (error) => {
      assert.ok(error instanceof ServerError);
      assert.equal(error.code, "ERR_SERVER_NODE_PASSWORD");
      assert.match(
        error.message,
        /password in .*\/password does not match secret kube-system\/box\.node-password\.k3s$/,
      );
      assert.match(error.hint ?? "", /--node-name/);
      return true;
    });
  });

  test("lets the only server go on, and warns", async (t) => {
    const [line = "", ...others] = await guard(t, { known: "other", isShared: false });
    assert.deepEqual(others, []);
    assert.match(line, /WARN.*another machine joined under this name.*delete secret box\.node-password\.k3s/);
  });

  test("says nothing where the password is right", async (t) => {
    assert.deepEqual(await guard(t, { known: "own", isShared: true }), []);
  });
});
