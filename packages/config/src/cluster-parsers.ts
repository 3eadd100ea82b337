import { isDnsName } from "./parsers.ts";

const BOOTSTRAP_TOKEN = /^[a-z0-9]{6}\.[a-z0-9]{16}$/;

/**
 * Checks a join secret: a bare password, or `K10<hash>::<user>:<password>`. Never repeats it in the error.
 * Throws RangeError with the end of a sentence.
 */
export function parseTokenText(text: string): string {
  const token = text.trim();
  if (token === "") throw new RangeError("must not be empty");
  if (/\s/.test(token)) throw new RangeError("must not contain white space");
  if (BOOTSTRAP_TOKEN.test(token)) throw new RangeError("must not be a bootstrap token: those are for agents only");
  return token.startsWith("K10") ? checkFullToken(token) : token;
}

function checkFullToken(token: string): string {
  const body = token.slice(3);
  const border = body.indexOf("::");
  const hash = border === -1 ? "" : body.slice(0, border);
  const credentials = border === -1 ? body : body.slice(border + 2);
  if (hash !== "" && !/^[0-9a-f]{64}$/.test(hash)) {
    throw new RangeError(`must be a password or a whole K10 token: its CA hash has ${hash.length} characters, not 64`);
  }
  if (BOOTSTRAP_TOKEN.test(credentials)) {
    throw new RangeError("must not be a bootstrap token: those are for agents only");
  }
  if (!/^[^:]*:.+$/.test(credentials)) {
    throw new RangeError("must be a password or a whole K10 token: it has no user and password");
  }
  return token;
}

/** Name of a packaged component or of a manifest file without its ending. */
export function parseAddOnName(text: string): string {
  if (isDnsName(text)) return text;
  throw new RangeError(`must be the name of a packaged component: current value is "${text}"`);
}
