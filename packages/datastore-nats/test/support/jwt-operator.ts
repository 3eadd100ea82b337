import { Buffer } from "node:buffer";
import { nkeys } from "@nats-io/transport-node";

type KeyPair = ReturnType<typeof nkeys.createUser>;

/** What a user of such an account shows a server. */
export interface JwtUser {
  readonly jwt: string;
  readonly seed: string;
  readonly publicKey: string;
  /** Content of a credentials file. */
  readonly creds: string;
}

/** An operator with one account that has JetStream, as `nsc` makes them. */
export class JwtOperator {
  readonly #key = nkeys.createOperator();
  readonly #account = nkeys.createAccount();

  /** For nats-server. */
  get config(): string {
    const operator = sign(this.#key, this.#key, { type: "operator", version: 2 });
    const limits = { subs: -1, data: -1, payload: -1, conn: -1, leaf: -1, imports: -1, exports: -1, wildcards: true };
    const storage = { mem_storage: -1, disk_storage: -1, streams: -1, consumer: -1 };
    const claims = { type: "account", version: 2, limits: { ...limits, ...storage } };
    const account = sign(this.#key, this.#account, claims);
    const id = this.#account.getPublicKey();
    const system = nkeys.createAccount();
    const systemJwt = sign(this.#key, system, { type: "account", version: 2, limits });
    return [
      `operator: ${operator}`,
      `system_account: ${system.getPublicKey()}`,
      `resolver: MEMORY`,
      `resolver_preload: { ${id}: ${account}, ${system.getPublicKey()}: ${systemJwt} }`,
    ].join("\n");
  }

  /** A new one, who may do everything. */
  user(): JwtUser {
    const key = nkeys.createUser();
    const jwt = sign(this.#account, key, { type: "user", version: 2, subs: -1, data: -1, payload: -1 });
    const seed = Buffer.from(key.getSeed()).toString("latin1");
    const block = (name: string, text: string) => `-----BEGIN ${name}-----\n${text}\n------END ${name}------\n`;
    const creds = `${block("NATS USER JWT", jwt)}\n${block("USER NKEY SEED", seed)}`;
    return { jwt, seed, publicKey: key.getPublicKey(), creds };
  }
}

function sign(issuer: KeyPair, subject: KeyPair, nats: object): string {
  const header = { typ: "JWT", alg: "ed25519-nkey" };
  const claims = { jti: "test", iat: 1, iss: issuer.getPublicKey(), name: "test", sub: subject.getPublicKey(), nats };
  const text = [header, claims].map((part) => Buffer.from(JSON.stringify(part)).toString("base64url")).join(".");
  return `${text}.${Buffer.from(issuer.sign(Buffer.from(text))).toString("base64url")}`;
}
