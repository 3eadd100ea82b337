import assert from "node:assert/strict";
import { mkdir, readFile, readlink, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, test, type TestContext } from "node:test";
import { parse } from "yaml";
import { serverTlsPaths, writeAdminKubeconfig, type AdminKubeconfigOptions } from "../src/index.ts";
import { folder, sharedServer } from "./support.ts";

const copy = sharedServer();

async function setUp(t: TestContext, changes: Partial<AdminKubeconfigOptions> = {}) {
  const root = await folder(t);
  const serverDir = await copy(t);
  const wellKnownPath = join(root, "etc", "k3s.yaml");
  const server = "https://127.0.0.1:6443";
  const options = { serverDir, server, path: wellKnownPath, wellKnownPath, name: "default", mode: 0o600, ...changes };
  return { root, options, tls: serverTlsPaths(serverDir) };
}

describe("writeAdminKubeconfig()", () => {
  test("embeds the CA, the certificate and the key under one name", async (t) => {
    const { options, tls } = await setUp(t, { name: "my cluster: one" });
    await writeAdminKubeconfig(options);
    const data = async (path: string) => (await readFile(path)).toString("base64");
    const name = "my cluster: one";
    assert.deepEqual(parse(await readFile(options.path, "utf8")), {
      apiVersion: "v1",
      kind: "Config",
      preferences: {},
      clusters: [
        { name, cluster: { server: options.server, "certificate-authority-data": await data(tls.serverCa.cert) } },
      ],
      contexts: [{ name, context: { cluster: name, user: name } }],
      "current-context": name,
      users: [
        {
          name,
          user: {
            "client-certificate-data": await data(tls.clientAdmin.cert),
            "client-key-data": await data(tls.clientAdmin.key),
          },
        },
      ],
    });
    assert.equal((await stat(options.path)).mode & 0o777, 0o600);
  });

  for (const name of ["true", "null", "007", "1e3", "-", "a #b", "~"]) {
    test(`writes the name ${name} so that YAML reads a string`, async (t) => {
      const { options } = await setUp(t, { name });
      await writeAdminKubeconfig(options);
      const config = parse(await readFile(options.path, "utf8")) as Record<string, unknown>;
      assert.equal(config["current-context"], name);
    });
  }

  test("gives the file the mode and the group asked for", async (t) => {
    const { options } = await setUp(t, { mode: 0o640, group: "daemon" });
    await writeAdminKubeconfig(options);
    const { mode, gid } = await stat(options.path);
    assert.equal(mode & 0o777, 0o640);
    const line = (await readFile("/etc/group", "utf8")).split("\n").find((entry) => entry.startsWith("daemon:"));
    assert.equal(gid, Number(line?.split(":")[2]));
    await writeAdminKubeconfig({ ...options, group: "12345" });
    assert.equal((await stat(options.path)).gid, 12345);
  });

  test("refuses a group that does not exist before it writes", async (t) => {
    const { options } = await setUp(t, { group: "no-such-group" });
    await assert.rejects(writeAdminKubeconfig(options), { code: "ERR_PKI_GROUP_UNKNOWN" });
    await assert.rejects(stat(options.path), { code: "ENOENT" });
  });

  test("makes the well-known file a link when another path is asked for, and a file again later", async (t) => {
    const { options, root } = await setUp(t);
    const elsewhere = join(root, "deep", "down", "config");
    await writeAdminKubeconfig(options);
    await writeAdminKubeconfig({ ...options, path: elsewhere });
    assert.equal(await readlink(options.wellKnownPath), elsewhere);
    const other = await readFile(elsewhere, "utf8");
    await writeAdminKubeconfig({ ...options, server: "https://10.0.0.1:6443" });
    assert.ok((await stat(options.wellKnownPath)).isFile());
    assert.match(await readFile(options.wellKnownPath, "utf8"), /10\.0\.0\.1/);
    assert.equal(await readFile(elsewhere, "utf8"), other, "the other file is not written through the link");
  });

  test("names the certificate that is missing", async (t) => {
    const { options, tls } = await setUp(t);
    await rm(tls.clientAdmin.key);
    await assert.rejects(writeAdminKubeconfig(options), {
      code: "ERR_PKI_FILE_UNREADABLE",
      message: /client-admin\.key/,
    });
  });

  test("says so when the place cannot be written", async (t) => {
    const { options } = await setUp(t);
    await mkdir(dirname(dirname(options.path)), { recursive: true });
    await writeFile(dirname(options.path), "a file where the folder belongs");
    await assert.rejects(writeAdminKubeconfig(options), { code: "ERR_PKI_FILE_UNWRITABLE" });
  });
});
