import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { isAbsent } from "@k3s/files";
import { parse } from "yaml";
import { KubeconfigError } from "./errors.ts";

/** Where a cluster is and how one shows who one is, as a kubeconfig says; what it names as files has been read. */
export interface ClusterAccess {
  /** `https://host:port`, perhaps with a path. */
  readonly server: string;
  /** The exact bytes, PEM; undefined: nothing is said, the machine's own authorities count. */
  readonly ca: Buffer | undefined;
  readonly serverName: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
  readonly bearerToken: string | undefined;
}

/** A mapping of the file, of which nothing is known yet. */
type Fields = Readonly<Record<string, unknown>>;

/** Ways to get credentials that take programs or passwords of others. */
const FOREIGN = ["exec", "auth-provider", "username"];

/** Reads the current context of a kubeconfig. Rejects with KubeconfigError. */
export async function loadKubeconfig(path: string): Promise<ClusterAccess> {
  const config = fieldsOf(parseYaml(path, await read(path)));
  const context = named(path, config, { list: "contexts", name: textOf(config["current-context"]), member: "context" });
  const cluster = named(path, config, { list: "clusters", name: textOf(context["cluster"]), member: "cluster" });
  const user = named(path, config, { list: "users", name: textOf(context["user"]), member: "user" });
  const server = textOf(cluster["server"]);
  if (server === undefined || !/^https:\/\//.test(server) || !URL.canParse(server)) {
    throw KubeconfigError.malformed(path, "its cluster has no server that begins with https://");
  }
  if (cluster["insecure-skip-tls-verify"] === true) throw KubeconfigError.unsupported(path, "a server nobody verifies");
  const foreign = FOREIGN.find((name) => user[name] !== undefined);
  if (foreign !== undefined) throw KubeconfigError.unsupported(path, `credentials by "${foreign}"`);
  const [ca, cert, key] = await Promise.all([
    content(path, cluster, "certificate-authority"),
    content(path, user, "client-certificate"),
    content(path, user, "client-key"),
  ]);
  const tokenFile = textOf(user["tokenFile"]);
  const bearerToken = textOf(user["token"]) ?? (tokenFile === undefined ? undefined : await besideOf(path, tokenFile));
  return {
    ...{ server, ca, serverName: textOf(cluster["tls-server-name"]) },
    ...{ cert: cert?.toString(), key: key?.toString(), bearerToken: bearerToken?.toString().trim() },
  };
}

interface Entry {
  readonly list: "contexts" | "clusters" | "users";
  readonly name: string | undefined;
  readonly member: string;
}

/** The member of the entry of this name in one of the three lists. */
function named(path: string, config: Fields, { list, name, member }: Entry): Fields {
  const entries: unknown = config[list];
  const found = Array.isArray(entries) ? entries.map(fieldsOf).find((entry) => entry["name"] === name) : undefined;
  if (name === undefined || found === undefined) {
    throw KubeconfigError.malformed(path, `there is no "${name ?? ""}" among its ${list}`);
  }
  return fieldsOf(found[member]);
}

/** What stands in `<name>-data`, else in the file that `<name>` names. */
async function content(path: string, fields: Fields, name: string): Promise<Buffer | undefined> {
  const data = textOf(fields[`${name}-data`]);
  if (data !== undefined) return Buffer.from(data, "base64");
  const file = textOf(fields[name]);
  return file === undefined ? undefined : await besideOf(path, file);
}

/** Relative paths begin at the folder of the kubeconfig. */
function besideOf(path: string, file: string): Promise<Buffer> {
  return read(resolve(dirname(path), file));
}

async function read(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (error) {
    throw isAbsent(error) ? KubeconfigError.absent(path) : KubeconfigError.unreadable(path, error);
  }
}

function parseYaml(path: string, text: Buffer): unknown {
  try {
    return parse(text.toString("utf8"));
  } catch {
    throw KubeconfigError.malformed(path, "it is no YAML"); // the parser's message would show a part of it
  }
}

function fieldsOf(value: unknown): Fields {
  return typeof value === "object" && value !== null ? { ...value } : {};
}

function textOf(value: unknown): string | undefined {
  return typeof value === "string" && value !== "" ? value : undefined;
}
