import type { Verdict } from "@k3s/token";
import type { Exchange } from "./exchange.ts";
import { currentProof, type Identity, type PeerProof } from "./identity.ts";
import { headerValue } from "./raw-headers.ts";

/** Checks user and password of HTTP Basic. */
export interface PasswordCheck {
  check(user: string, password: string): Promise<Verdict>;
}

/** `refused`: credentials were shown and none of them held. `unknown`: none were shown. `busy`: try later. */
export type Authentication =
  { readonly kind: "known"; readonly identity: Identity } | { readonly kind: "refused" | "unknown" | "busy" };

/** Who makes the request, for the supervisor's own routes: Basic first, then the client certificate. */
export async function authenticate(exchange: Exchange, passwords: PasswordCheck): Promise<Authentication> {
  const basic = parseBasic(headerValue(exchange.headers, "authorization"));
  const verdict = basic === undefined ? undefined : await passwords.check(basic.user, basic.password);
  if (verdict?.kind === "accepted") {
    exchange.connection.prove();
    return { kind: "known", identity: verdict.user };
  }
  const proof = certificateProof(exchange);
  if (proof.kind === "proven") return { kind: "known", identity: proof.identity };
  if (verdict?.kind === "busy") return { kind: "busy" };
  return { kind: verdict !== undefined || proof.kind === "invalid" ? "refused" : "unknown" };
}

/** What the client certificate says now. */
export function certificateProof(exchange: Exchange): PeerProof {
  return currentProof(exchange.connection.peer, Date.now());
}

function parseBasic(header: string | undefined): { readonly user: string; readonly password: string } | undefined {
  const encoded = /^basic\s+(\S+)\s*$/i.exec(header ?? "")?.[1];
  if (encoded === undefined) return undefined;
  const [, user, password] = /^([^:]*):(.*)$/s.exec(Buffer.from(encoded, "base64").toString("utf8")) ?? [];
  return user === undefined || password === undefined ? undefined : { user, password };
}
