import { builtInUsers, newPassword, withUsers, type PasswdEntry, type Passwords } from "./passwd-file.ts";
import { normalizeToken } from "./token.ts";

/** What a new server token makes of the users of a server. */
export interface TokenChangePlan {
  readonly before: Passwords;
  readonly after: Passwords;
  readonly entries: readonly PasswdEntry[];
}

export interface TokenChangeRequest {
  /** Whole or password only; empty: make one up. */
  readonly newToken: string;
  /** Whether agents have a token of their own (`--agent-token`). */
  readonly hasAgentToken: boolean;
}

/**
 * Gives the user `server` a new password, and `node` too where both had the same and agents have no token of their own
 * (k3s). Throws TokenError for a token that servers cannot use.
 */
export function planTokenChange(entries: readonly PasswdEntry[], request: TokenChangeRequest): TokenChangePlan {
  const { newToken, hasAgentToken } = request;
  const passwordOf = (name: string) => entries.find(({ user }) => user === name)?.password;
  const serverBefore = passwordOf("server") ?? "";
  const before = { server: serverBefore, node: passwordOf("node") ?? serverBefore };
  const server = newToken === "" ? newPassword() : normalizeToken(newToken);
  const after = { server, node: !hasAgentToken && before.node === before.server ? server : before.node };
  return { before, after, entries: withUsers(entries, builtInUsers(after)) };
}
