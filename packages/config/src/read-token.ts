import { readFile } from "node:fs/promises";
import { describeError } from "@k3s/errors";
import { parseTokenText } from "./cluster-parsers.ts";
import type { Report } from "./setting.ts";

/** The token in a file, if one is named. Mistakes are reported by the name of the flag. */
export async function readToken(
  flag: string,
  path: string | undefined,
  { report, signal }: { readonly report: Report; readonly signal: AbortSignal },
): Promise<string | undefined> {
  if (path === undefined) return undefined;
  try {
    return parseTokenText(await readFile(path, { encoding: "utf8", signal }));
  } catch (error) {
    signal.throwIfAborted();
    report(
      error instanceof RangeError ? `${flag} "${path}": its token ${error.message}` : `${flag} ${describeError(error)}`,
    );
    return undefined;
  }
}
