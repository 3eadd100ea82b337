import { readFile } from "node:fs/promises";
import { homedir } from "node:os";
import type { Logger } from "@k3s/log";
import { NatsError } from "./errors.ts";
import { decodeLogin } from "./nats-endpoint.ts";

/** What a context file of the `nats` command can say about a connection. */
export interface NatsContext {
  readonly servers: readonly string[];
  readonly user: string | undefined;
  readonly password: string | undefined;
  readonly token: string | undefined;
  readonly credsFile: string | undefined;
  readonly nkeyFile: string | undefined;
  readonly jwt: string | undefined;
  /** Of the JWT. */
  readonly seed: string | undefined;
  readonly caFile: string | undefined;
  readonly certFile: string | undefined;
  readonly keyFile: string | undefined;
  readonly inboxPrefix: string | undefined;
  /** TLS is demanded, whatever the servers say. */
  readonly usesTls: boolean;
  /** TLS comes before the server's greeting. */
  readonly isTlsFirst: boolean;
  /** Names of the fields that count for nothing. */
  readonly ignored: readonly string[];
}

const URL_PART = /^(?:(?<scheme>\w+):\/\/)?(?:(?<login>.*)@)?(?<host>[^/]*)/s;
const FIELDS: ReadonlySet<string> = new Set([
  ...["url", "user", "password", "token", "creds", "nkey", "user_jwt", "user_seed"],
  ...["ca", "cert", "key", "tls_first", "inbox_prefix"],
  ...["name", "description", "color_scheme"], // they say nothing of the connection
]);

/** Reads the JSON file that the `nats` command keeps for a context. Rejects with NatsError. */
export async function loadContextFile(path: string): Promise<NatsContext> {
  const fields = await readFields(path);
  const text = (name: string) => {
    const value = fields.get(name);
    return typeof value === "string" && value !== "" ? value : undefined;
  };
  const file = (name: string) => text(name)?.replace(/^~(?=\/)/, () => homedir());
  const urls = (text("url") ?? "").split(",").map((url) => URL_PART.exec(url.trim())?.groups ?? {});
  const fromUrl = readLogin(path, urls[0]?.["login"]);
  const isTlsFirst = fields.get("tls_first") === true;
  return {
    servers: urls.flatMap(({ host = "" }) => (host === "" ? [] : [host])),
    ...(fromUrl ?? { user: text("user"), password: text("password"), token: text("token") }),
    ...(fromUrl === undefined ? keysOf(text, file) : keysOf(nothing, nothing)),
    caFile: file("ca"),
    certFile: file("cert"),
    keyFile: file("key"),
    inboxPrefix: text("inbox_prefix"),
    usesTls: isTlsFirst || urls.some(({ scheme }) => scheme === "tls"),
    isTlsFirst,
    ignored: [
      ...[...fields].filter(([name, value]) => !FIELDS.has(name) && !isEmpty(value)).map(([name]) => name),
      ...(urls.some(({ login }, i) => i > 0 && login !== undefined && login !== urls[0]?.["login"])
        ? ["url: another user"]
        : []),
    ],
  };
}

/** Tells the log of each field of the file that counts for nothing. Rejects with NatsError. */
export async function warnOfIgnoredFields(path: string | undefined, log: Logger): Promise<void> {
  const ignored = path === undefined ? [] : (await loadContextFile(path)).ignored;
  for (const field of ignored)
    log.warn({ contextFile: path, field, hint: "Leave it out" }, "a field of the NATS context file is ignored");
}

/** The first url comes before the fields, as in kine. */
function readLogin(path: string, text = ""): ReturnType<typeof decodeLogin> | undefined {
  try {
    return text === "" ? undefined : decodeLogin(text);
  } catch (error) {
    throw NatsError.badFile(path, error);
  }
}

type Field = (name: string) => string | undefined;

const nothing: Field = () => undefined;

function keysOf(text: Field, file: Field): Pick<NatsContext, "credsFile" | "nkeyFile" | "jwt" | "seed"> {
  return { credsFile: file("creds"), nkeyFile: file("nkey"), jwt: text("user_jwt"), seed: text("user_seed") };
}

function isEmpty(value: unknown): boolean {
  return value === null || value === "" || value === false || (Array.isArray(value) && value.length === 0);
}

async function readFields(path: string): Promise<ReadonlyMap<string, unknown>> {
  try {
    const content = parseJson(await readFile(path, "utf8"));
    if (typeof content === "object" && content !== null) return new Map(Object.entries(content));
  } catch (error) {
    throw NatsError.badFile(path, error);
  }
  throw NatsError.badFile(path, new SyntaxError("It holds no JSON object"));
}

/** The parser's own words quote the text, which holds secrets. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new SyntaxError("It is no JSON");
  }
}
