import { randomInt } from "node:crypto";
import { TokenError } from "./errors.ts";
import { parseToken } from "./token.ts";

/** A token with an end, kept in the cluster, with which agents join (the one of kubeadm). */
export interface BootstrapToken {
  readonly id: string;
  readonly secret: string;
  /** For people; may be empty. */
  readonly description: string;
  /** Undefined: it has no end. */
  readonly expires: Date | undefined;
  readonly usages: readonly string[];
  /** Groups of whoever shows it, besides `system:bootstrappers`. */
  readonly groups: readonly string[];
}

/** As much of a Secret of the Kubernetes API as holds a bootstrap token; the data are base64. */
export interface BootstrapTokenSecret {
  readonly metadata: { readonly name: string };
  readonly data?: Readonly<Record<string, string>>;
}

/** What a bootstrap token may be good for (k8s.io/cluster-bootstrap). */
export const BOOTSTRAP_USAGES = ["signing", "authentication"] as const;

/** Type of the Secrets, and the namespace that kube-apiserver looks for them in (k8s.io/cluster-bootstrap). */
const SECRET_TYPE = "bootstrap.kubernetes.io/token";
const NAMESPACE = "kube-system";

/** Every bootstrap token of a cluster in the Kubernetes API. */
export const BOOTSTRAP_SECRETS = {
  collection: `/api/v1/namespaces/${NAMESPACE}/secrets`,
  selected: `/api/v1/namespaces/${NAMESPACE}/secrets?fieldSelector=${encodeURIComponent(`type=${SECRET_TYPE}`)}`,
} as const;

const ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789";
const ID = /^[a-z0-9]{6}$/;
const SECRET = /^[a-z0-9]{16}$/;
const GROUP = /^system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]$/;
const USAGE_PREFIX = "usage-bootstrap-";

/** Id and secret that nobody can guess. */
export function generateBootstrapToken(): Pick<BootstrapToken, "id" | "secret"> {
  return { id: randomText(6), secret: randomText(16) };
}

/** Reads `<id>.<secret>`, with or without the hash of a CA in front. Throws TokenError. */
export function parseBootstrapToken(text: string): Pick<BootstrapToken, "id" | "secret"> {
  const { credentials } = text === "" ? { credentials: undefined } : parse(text);
  if (credentials?.kind !== "bootstrap") throw TokenError.notBootstrap();
  return { id: credentials.id, secret: credentials.secret };
}

/** The id in a text that is one or holds a whole bootstrap token. Throws TokenError. */
export function parseBootstrapTokenId(text: string): string {
  return ID.test(text) ? text : parseBootstrapToken(text).id;
}

/** Whether kube-apiserver takes this group from a bootstrap token. */
export function isBootstrapGroup(name: string): boolean {
  return GROUP.test(name);
}

/** Name of the Secret that holds the token with this id. */
export function bootstrapSecretName(id: string): string {
  return `bootstrap-token-${id}`;
}

/** The Secret that makes kube-apiserver know the token. */
export function formatBootstrapSecret(token: BootstrapToken): object {
  const { id, secret, description, expires, usages, groups } = token;
  return {
    apiVersion: "v1",
    kind: "Secret",
    metadata: { name: bootstrapSecretName(id), namespace: NAMESPACE },
    type: SECRET_TYPE,
    stringData: {
      "token-id": id,
      "token-secret": secret,
      ...(description === "" ? {} : { description }),
      ...(expires === undefined ? {} : { expiration: formatExpiry(expires) }),
      ...Object.fromEntries(usages.map((usage) => [`${USAGE_PREFIX}${usage}`, "true"])),
      ...(groups.length === 0 ? {} : { "auth-extra-groups": groups.join(",") }),
    },
  };
}

/** The token that a Secret holds. Throws TokenError for one that kube-apiserver would not take either. */
export function parseBootstrapSecret({ metadata: { name }, data = {} }: BootstrapTokenSecret): BootstrapToken {
  const fields = new Map(Object.entries(data).map(([key, value]) => [key, Buffer.from(value, "base64").toString()]));
  const field = (key: string) => fields.get(key) ?? "";
  const [id, secret, expiration] = [field("token-id"), field("token-secret"), field("expiration")];
  if (!ID.test(id) || name !== bootstrapSecretName(id)) throw TokenError.bootstrapSecret(name, "its token-id");
  if (!SECRET.test(secret)) throw TokenError.bootstrapSecret(name, "its token-secret");
  const expires = expiration === "" ? undefined : new Date(expiration);
  if (Number.isNaN(expires?.getTime())) throw TokenError.bootstrapSecret(name, "its expiration");
  const groups = field("auth-extra-groups")
    .split(",")
    .filter((group) => group !== "");
  return { id, secret, description: field("description"), expires, usages: usagesOf(fields), groups: groups.sort() };
}

function usagesOf(fields: ReadonlyMap<string, string>): readonly string[] {
  const set = [...fields].filter(([key, value]) => key.startsWith(USAGE_PREFIX) && value === "true");
  return set.map(([key]) => key.slice(USAGE_PREFIX.length)).sort();
}

/** RFC 3339 in whole seconds, as Kubernetes writes the time. */
export function formatExpiry(time: Date): string {
  return `${time.toISOString().slice(0, 19)}Z`;
}

function parse(text: string): ReturnType<typeof parseToken> {
  try {
    return parseToken(text);
  } catch {
    throw TokenError.notBootstrap(); // what is wrong with a join token helps nobody here
  }
}

function randomText(length: number): string {
  return Array.from({ length }, () => ALPHABET.charAt(randomInt(ALPHABET.length))).join("");
}
