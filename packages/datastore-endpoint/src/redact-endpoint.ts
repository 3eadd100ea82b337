import { hideSecrets } from "@k3s/log";

const HIDDEN = "********";

/** The endpoint as it may be shown, whatever its form. */
export function redactEndpoint(endpoint: string): string {
  return hideSecrets(endpoint);
}

/** A part of the endpoint in quotes, as it may stand in a message: one that {@link redactEndpoint} hides is not told. */
export function quotePart(endpoint: string, part: string): string {
  return redactEndpoint(endpoint).includes(part) ? `"${part}"` : `"${HIDDEN}"`;
}
