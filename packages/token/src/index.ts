export { caHash, verifyCaHash } from "./ca-hash.ts";
export { TokenError } from "./errors.ts";
export { ensureNodePassword } from "./node-password-file.ts";
export { ensurePasswd, readPasswd, writePasswd } from "./passwd-file.ts";
export { PasswordAuthenticator, type Verdict } from "./password-authenticator.ts";
export { hashPassword, matchesHash } from "./scrypt-hash.ts";
export { readServerToken, tokenPaths, writeTokenFiles } from "./token-files.ts";
export {
  authorizationHeader,
  formatCredentials,
  formatToken,
  normalizeToken,
  parseServerUrl,
  parseToken,
  tokenHash,
  withUser,
  type Credentials,
} from "./token.ts";
