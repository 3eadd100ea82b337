import { normalizeToken, parseToken, TokenError } from "@k3s/token";
import { isDnsName } from "./parsers.ts";

/**
 * Checks a join secret: a password, `K10<hash>::<user>:<password>` or a bootstrap token. Never repeats it in the error.
 * Throws RangeError with the end of a sentence.
 */
export function parseTokenText(text: string): string {
  return checkToken(text.trim(), parseToken);
}

/** The same for a server, which cannot join with a bootstrap token. */
export function parseServerToken(text: string): string {
  return checkToken(text, normalizeToken);
}

function checkToken(token: string, parse: (text: string) => unknown): string {
  if (token === "") throw new RangeError("must not be empty");
  try {
    parse(token);
  } catch (error) {
    if (!(error instanceof TokenError)) throw error;
    const { message } = error.cause instanceof TokenError ? error.cause : error; // the inner one says what is wrong
    throw new RangeError(`must be a password or a whole K10 token: ${message.replace(/^Cannot [^:]*: /, "")}`);
  }
  return token;
}

/** Name of a packaged component or of a manifest file without its ending. */
export function parseAddOnName(text: string): string {
  if (isDnsName(text)) return text;
  throw new RangeError(`must be the name of a packaged component: current value is "${text}"`);
}
