import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { execFile } from "node:child_process";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { prepareBootstrap } from "@k3s/bootstrap-data";
import { ClusterClient, ClusterError, trustCluster } from "@k3s/cluster-client";
import { createLogger } from "@k3s/log";
import { serverCredPaths } from "@k3s/pki";
import { until } from "@k3s/testkit";
import { caHash, readPasswd } from "@k3s/token";
import { startOnePort, type OnePort } from "./port-6443.ts";

const MAIN = fileURLToPath(new URL("../../cmd/k3s/src/main.ts", import.meta.url));
const log = createLogger({ level: "error", format: "text", write: () => undefined });
const limit = () => AbortSignal.timeout(60_000);

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

describe("the tokens of a cluster, on a real kube-apiserver", { timeout: 300_000 }, () => {
  let one: OnePort;
  before(async () => {
    one = await startOnePort();
    await one.apiserver.request("POST", "/api/v1/namespaces", { metadata: { name: "kube-system" } });
  });
  after(() => one[Symbol.asyncDispose]());

  /** The command line of the product as a process of its own, on the data dir of the server. */
  const k3sToken = (...args: readonly string[]): Promise<Ended> => {
    const env = { PATH: process.env["PATH"], K3S_CONFIG_FILE: "/dev/null", K3S_DATA_DIR: one.folder };
    return new Promise((resolve) => {
      execFile(process.execPath, [MAIN, "token", ...args], { env, timeout: 60_000 }, (error, stdout, stderr) => {
        resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr });
      });
    });
  };
  const clientOf = async (token: string, user: "node" | "server" = "node") =>
    new ClusterClient({ trust: await trustCluster({ server: one.url, token, user, log, signal: limit() }), log });
  const agentAsks = async (token: string) => (await clientOf(token)).get("/v1-k3s/config", limit());
  const isRefused = (error: unknown) => error instanceof ClusterError && error.code === "ERR_BOOTSTRAP_TOKEN_REFUSED";
  const idOf = (token: string) => /::([a-z0-9]{6})\./.exec(token)?.[1] ?? "";

  test("create, list, join, delete: an agent's endpoint takes the token as long as it is there", async () => {
    const created = await k3sToken("create", "--description", "for the rack", "--ttl=2h");
    assert.deepEqual([created.code, created.stderr], [0, ""]);
    const token = created.stdout.trim();
    const hash = caHash(await readFile(one.tls.serverCa.cert));
    assert.match(token, new RegExp(`^K10${hash}::[a-z0-9]{6}\\.[a-z0-9]{16}$`));

    const { stdout: table } = await k3sToken("list");
    const group = "system:bootstrappers:k3s:default-node-token";
    const row = `^${idOf(token)} {4}1h +\\S+Z   authentication,signing   for the rack   ${group}$`;
    assert.match(table, new RegExp(row, "m"));
    assert.ok(!table.includes(token.slice(-16)), "the table shows no secret");
    const { stdout: json } = await k3sToken("list", "-o", "json");
    const [shown] = JSON.parse(json) as readonly { readonly token: string; readonly groups: readonly string[] }[];
    assert.deepEqual([shown?.token, shown?.groups], [token.slice(-23), [group]]);

    await agentAsks(token);
    await agentAsks(token.slice(-23));
    const proof = { name: "n1", password: "pw", passwordFile: "/etc/rancher/node/password", ips: [] };
    const request = { keyFile: join(one.folder, "n1.key"), proof };
    const pem = await (await clientOf(token)).certificate("/v1-k3s/client-kubelet.crt", request, limit());
    assert.match(new X509Certificate(pem).subject, /CN=system:node:n1/);
    const deleted = await k3sToken("delete", token);
    assert.deepEqual([deleted.code, deleted.stdout], [0, `bootstrap token "${idOf(token)}" deleted\n`]);
    await until("the token is refused", () => agentAsks(token).then(() => false, isRefused), 60_000);
    assert.equal((await k3sToken("list", "-o=json")).stdout, "[]\n");
  });

  test("a token is refused once its time is over, and still listed until the cleaner comes", async () => {
    const { stdout } = await k3sToken("create", "abc123.0123456789abcdef", "--ttl", "1s");
    assert.match(stdout, /::abc123\.0123456789abcdef\n$/);
    await until("the token is refused", () => agentAsks(stdout.trim()).then(() => false, isRefused), 60_000);
    assert.match((await k3sToken("list")).stdout, /^abc123 /m);
    assert.equal((await k3sToken("delete", "abc123")).code, 0);
  });

  test("what is there already, or not there, is told by name", async () => {
    assert.equal((await k3sToken("create", "abc124.0123456789abcdef")).code, 0);
    const again = await k3sToken("create", "abc124.fedcba9876543210");
    assert.equal(again.code, 1);
    assert.match(again.stderr, /Cannot create bootstrap token "abc124": a token with this id already exists/);
    const twice = await k3sToken("delete", "abc124", "abc125");
    assert.deepEqual([twice.code, twice.stdout], [1, 'bootstrap token "abc124" deleted\n']);
    assert.match(twice.stderr, /Cannot delete bootstrap token "abc125": there is none with this id/);
  });

  test("the routes of servers are closed to agents, and there is no etcd to join by", async () => {
    const isForbidden = (error: unknown) => error instanceof ClusterError && error.code === "ERR_TOKEN_FORBIDDEN";
    const agent = await clientOf("secret");
    await assert.rejects(agent.put("/v1-k3s/token", { newToken: "mine" }, limit()), isForbidden);
    await assert.rejects(agent.get("/v1-k3s/server-bootstrap", limit()), isForbidden);
    const server = await clientOf("secret", "server");
    await assert.rejects(server.get("/v1-k3s/server-bootstrap", limit()), /etcd disabled \(400/);
    await assert.rejects(server.get("/v1-k3s/token", limit()), /method not allowed \(405/);
  });

  test("rotate: users, files and the record follow, and only the new token opens the cluster", async () => {
    const refused = await k3sToken("rotate", "-s", one.url, "--token", "wrong");
    assert.deepEqual([refused.code, refused.stdout], [1, ""]);
    assert.match(refused.stderr, /does not accept this token.*ERR_TOKEN_ROTATE_REFUSED/s);

    const rotated = await k3sToken("rotate", "-s", one.url, "--new-token", "changed");
    assert.deepEqual([rotated.code, rotated.stdout], [0, "Token rotated, restart k3s nodes with new token\n"]);
    assert.match(rotated.stderr, /^WARNING: Keep a record of the old token/m);
    const users = await readPasswd(serverCredPaths(join(one.folder, "server")).passwd);
    assert.deepEqual(
      users.map(({ user, password }) => [user, password]),
      [
        ["server", "changed"],
        ["node", "changed"],
      ],
    );
    assert.match(await readFile(join(one.folder, "server/token"), "utf8"), /^K10[0-9a-f]{64}::server:changed\n$/);

    const secondServer = async (token: string) => {
      const serverDir = join(one.folder, `second-${token}`);
      await mkdir(serverDir);
      await prepareBootstrap({ store: one.bootstrapStore, serverDir, token, log, signal: limit() });
      return await readFile(join(serverDir, "cred/passwd"), "utf8");
    };
    await assert.rejects(secondServer("secret"), { code: "ERR_BOOTSTRAP_TOKEN_MISMATCH" });
    assert.equal(await secondServer("changed"), await readFile(join(one.folder, "server/cred/passwd"), "utf8"));
  });

  test("rotate again: until its next start the server takes the old token, and says so", async () => {
    const withNew = await k3sToken("rotate", "-s", one.url);
    assert.equal(withNew.code, 1);
    assert.match(
      withNew.stderr,
      /does not accept the token in server\/token.*takes the old token until it is started/s,
    );
    const withOld = await k3sToken("rotate", "-s", one.url, "-t", "secret");
    assert.equal(withOld.code, 0);
    assert.match(withOld.stdout, /^Token rotated, .*the new token is in server\/token/);
    assert.match(await readFile(join(one.folder, "server/token"), "utf8"), /::server:[0-9a-f]{32}\n$/);
    assert.equal((await one.bootstrapStore.list("/bootstrap")).length, 1);
  });
});
