import { normalizeToken, TokenError } from "@k3s/token";
import { isDnsName } from "./parsers.ts";

/**
 * Checks a join secret: a bare password, or `K10<hash>::<user>:<password>`. Never repeats it in the error.
 * Throws RangeError with the end of a sentence.
 */
export function parseTokenText(text: string): string {
  const token = text.trim();
  if (token === "") throw new RangeError("must not be empty");
  try {
    normalizeToken(token);
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
