import { createHash } from "node:crypto";

/** What stands in the node's annotations in place of a secret (k3s' spelling). */
const MASK = "********";

/** Without dashes: flags may begin with one or two. */
const SECRET_FLAGS = new Set([
  "token",
  "t",
  "agent-token",
  "datastore-endpoint",
  "etcd-s3-access-key",
  "etcd-s3-secret-key",
  "vpn-auth",
]);
const SECRET_VARIABLES = new Set([
  "K3S_TOKEN",
  "K3S_DATASTORE_ENDPOINT",
  "K3S_AGENT_TOKEN",
  "K3S_CLUSTER_SECRET",
  "K3S_VPN_AUTH",
  "AWS_ACCESS_KEY_ID",
  "AWS_SECRET_ACCESS_KEY",
]);

/** The annotations that record how a node was started, secrets masked, and a hash that changes with them (spec 7.6). */
export function nodeArgumentAnnotations(
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Record<string, string> {
  const argsJson = JSON.stringify(maskArguments(splitAssignments(args)));
  const envJson = JSON.stringify(maskVariables(env));
  const digest = createHash("sha256").update(argsJson).update(envJson).digest();
  return { "k3s.io/node-args": argsJson, "k3s.io/node-env": envJson, "k3s.io/node-config-hash": base32(digest) };
}

function splitAssignments(args: readonly string[]): readonly string[] {
  return args.flatMap((arg) => {
    const at = arg.indexOf("=");
    return arg.startsWith("-") && at > 0 ? [arg.slice(0, at), arg.slice(at + 1)] : [arg];
  });
}

function maskArguments(args: readonly string[]): readonly string[] {
  return args.map((arg, index) => (isSecretFlag(args[index - 1] ?? "") ? MASK : arg));
}

function isSecretFlag(arg: string): boolean {
  return arg.startsWith("-") && SECRET_FLAGS.has(arg.replace(/^--?/, ""));
}

function maskVariables(env: Readonly<Record<string, string>>): Record<string, string> {
  const names = Object.keys(env).filter((name) => name.startsWith("K3S_") || SECRET_VARIABLES.has(name));
  return Object.fromEntries(names.sort().map((name) => [name, SECRET_VARIABLES.has(name) ? MASK : (env[name] ?? "")]));
}

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/** RFC 4648 base32 with padding. */
function base32(bytes: Uint8Array): string {
  const bits = Array.from(bytes, (byte) => byte.toString(2).padStart(8, "0")).join("");
  const digits = (bits.match(/.{1,5}/g) ?? [])
    .map((group) => ALPHABET[Number.parseInt(group.padEnd(5, "0"), 2)])
    .join("");
  return digits.padEnd(Math.ceil(digits.length / 8) * 8, "=");
}
