import type { Verdict } from "@k3s/token";
import type { Exchange } from "./exchange.ts";
import { currentProof, type Identity, type PeerProof } from "./identity.ts";
import { headerValue } from "./raw-headers.ts";

/** Checks user and password of HTTP Basic. */
export interface PasswordCheck {
  check(user: string, password: string): Promise<Verdict>;
}

/** Asks whoever issues bearer tokens; undefined: nobody knows this one. */
export interface TokenCheck {
  check(token: string): Promise<Identity | "busy" | undefined>;
}

/** Somebody known, and how we know. */
export interface Caller extends Identity {
  readonly proof: "password" | "certificate" | "token";
}

/** Who may vouch for a client besides its certificate. */
export interface Authenticators {
  readonly passwords: PasswordCheck;
  /** Undefined while kube-apiserver, which knows the tokens, is not there. */
  readonly tokens: TokenCheck | undefined;
}

/**
 * `refused`: credentials were shown and none of them held. `unknown`: none were shown. `busy`: try later.
 * `unavailable`: a token was shown, and kube-apiserver does not say whose it is.
 */
export type Authentication =
  | { readonly kind: "known"; readonly caller: Caller }
  | { readonly kind: "unavailable"; readonly error?: unknown }
  | { readonly kind: "refused" | "unknown" | "busy" };

/** What counts when several were found. */
const RANKS = ["busy", "unavailable", "refused", "unknown"] as const;

/** Who makes the request, for the supervisor's own routes: Basic first, then the client certificate, then a token. */
export async function authenticate(exchange: Exchange, authenticators: Authenticators): Promise<Authentication> {
  const findings: Authentication[] = [];
  for (const find of [passwordFinding, certificateFinding, tokenFinding]) {
    const finding = await find(exchange, authenticators);
    if (finding.kind === "known") return finding;
    findings.push(finding);
  }
  const ranked = RANKS.flatMap((kind) => findings.filter((finding) => finding.kind === kind));
  return ranked[0] ?? { kind: "unknown" };
}

/** What the client certificate says now. */
export function certificateProof(exchange: Exchange): PeerProof {
  return currentProof(exchange.connection.peer, Date.now());
}

async function passwordFinding(exchange: Exchange, { passwords }: Authenticators): Promise<Authentication> {
  const basic = parseBasic(headerValue(exchange.headers, "authorization"));
  if (basic === undefined) return { kind: "unknown" };
  const verdict = await passwords.check(basic.user, basic.password);
  if (verdict.kind === "busy") return { kind: "busy" };
  return verdict.kind === "accepted" ? known(exchange, verdict.user, "password") : { kind: "refused" };
}

function certificateFinding(exchange: Exchange): Authentication {
  const proof = certificateProof(exchange);
  if (proof.kind === "proven") return known(exchange, proof.identity, "certificate");
  return { kind: proof.kind === "invalid" ? "refused" : "unknown" };
}

async function tokenFinding(exchange: Exchange, { tokens }: Authenticators): Promise<Authentication> {
  const token = /^bearer\s+(\S+)\s*$/i.exec(headerValue(exchange.headers, "authorization") ?? "")?.[1];
  if (token === undefined) return { kind: "unknown" };
  if (tokens === undefined) return { kind: "unavailable" };
  try {
    const identity = await tokens.check(token);
    if (identity === "busy") return { kind: "busy" };
    return identity === undefined ? { kind: "refused" } : known(exchange, identity, "token");
  } catch (error) {
    return { kind: "unavailable", error };
  }
}

function known(exchange: Exchange, { name, groups }: Identity, proof: Caller["proof"]): Authentication {
  exchange.connection.prove();
  return { kind: "known", caller: { name, groups, proof } };
}

function parseBasic(header: string | undefined): { readonly user: string; readonly password: string } | undefined {
  const encoded = /^basic\s+(\S+)\s*$/i.exec(header ?? "")?.[1];
  if (encoded === undefined) return undefined;
  const [, user, password] = /^([^:]*):(.*)$/s.exec(Buffer.from(encoded, "base64").toString("utf8")) ?? [];
  return user === undefined || password === undefined ? undefined : { user, password };
}
