/** What stands in a log line in place of a secret. */
export const REDACTED = "********";

/** Keys whose values never reach a log line, at the top or one or two levels below it. */
const SECRET_KEYS = [
  "token",
  "agentToken",
  "password",
  "secret",
  "key",
  "privateKey",
  "datastoreEndpoint",
  "authorization",
];

export const redactPaths: readonly string[] = SECRET_KEYS.flatMap((key) => [key, `*.${key}`, `*.*.${key}`]);

/** Removes user info from URLs and DSNs, and the secret part of K10 tokens, from free text. */
export function redactText(text: string): string {
  return text
    .replace(/K10[0-9a-f]{64}::[^\s"']+/g, REDACTED)
    .replace(/([a-z][a-z0-9+.-]*:\/\/)[^/\s"'@]+@/gi, `$1${REDACTED}@`);
}
