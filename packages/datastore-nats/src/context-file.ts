import { readFile } from "node:fs/promises";
import { NatsError } from "./errors.ts";

/** What a context file of the `nats` command can say about a connection. */
export interface NatsContext {
  readonly servers: readonly string[];
  readonly user: string | undefined;
  readonly password: string | undefined;
  readonly token: string | undefined;
  readonly credsFile: string | undefined;
  readonly nkeyFile: string | undefined;
  readonly caFile: string | undefined;
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
  readonly inboxPrefix: string | undefined;
}

/** Reads the JSON file that the `nats` command keeps for a context. Rejects with NatsError. */
export async function loadContextFile(path: string): Promise<NatsContext> {
  const fields = await readFields(path);
  const text = (name: string) => {
    const value = fields.get(name);
    return typeof value === "string" && value !== "" ? value : undefined;
  };
  const servers = (text("url") ?? "").split(",").map((url) => url.trim().replace(/^nats:\/\//, ""));
  return {
    servers: servers.filter((server) => server !== ""),
    user: text("user"),
    password: text("password"),
    token: text("token"),
    credsFile: text("creds"),
    nkeyFile: text("nkey"),
    caFile: text("ca"),
    certFile: text("cert"),
    keyFile: text("key"),
    inboxPrefix: text("inbox_prefix"),
  };
}

async function readFields(path: string): Promise<ReadonlyMap<string, unknown>> {
  try {
    const content: unknown = JSON.parse(await readFile(path, "utf8"));
    if (typeof content === "object" && content !== null) return new Map(Object.entries(content));
  } catch (error) {
    throw NatsError.badFile(path, error);
  }
  throw NatsError.badFile(path, new SyntaxError("It holds no JSON object"));
}
