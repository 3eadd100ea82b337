import { parseServerUrl, TokenError } from "@k3s/token";

/** The URL of a server without slashes at its end; undefined when it is none that can be used. */
export function parseServer(text: string): string | undefined {
  try {
    return parseServerUrl(text).href.replace(/\/+$/, "");
  } catch (error) {
    if (error instanceof TokenError) return undefined;
    throw error;
  }
}
