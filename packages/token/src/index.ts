export {
  BOOTSTRAP_SECRETS,
  BOOTSTRAP_USAGES,
  bootstrapSecretName,
  formatBootstrapSecret,
  formatExpiry,
  generateBootstrapToken,
  isBootstrapGroup,
  parseBootstrapSecret,
  parseBootstrapToken,
  parseBootstrapTokenId,
  type BootstrapToken,
  type BootstrapTokenSecret,
} from "./bootstrap-token.ts";
export { caHash, verifyCaHash } from "./ca-hash.ts";
export { TokenError } from "./errors.ts";
export { ensureNodePassword } from "./node-password-file.ts";
export { ensurePasswd, formatPasswd, readPasswd, writePasswd, type Passwords } from "./passwd-file.ts";
export { PasswordAuthenticator, type Verdict } from "./password-authenticator.ts";
export { planTokenChange } from "./plan-token-change.ts";
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
