import {
  BOOTSTRAP_USAGES,
  generateBootstrapToken,
  isBootstrapGroup,
  parseBootstrapToken,
  type BootstrapToken,
} from "@k3s/token";
import { UsageError } from "../errors.ts";
import { parseDuration } from "./parse-duration.ts";
import type { TokenTexts } from "./run-token.ts";

/** Values of k3s. */
const DEFAULT_GROUPS = ["system:bootstrappers:k3s:default-node-token"];
const DEFAULT_TTL = "24h";

/** The token that `k3s token create` was asked for. Throws UsageError with every mistake, or TokenError. */
export function readNewToken(operands: readonly string[], texts: TokenTexts, now: Date): BootstrapToken {
  const [given] = operands;
  const problems: string[] = [];
  const ttl = typeof texts["ttl"] === "string" ? texts["ttl"] : DEFAULT_TTL;
  const ttlMs = parseDuration(ttl);
  if (ttlMs === undefined || ttlMs < 0 || Number.isNaN(now.getTime() + ttlMs)) {
    problems.push(`--ttl must be a duration such as 90m or 48h, or 0: current value is "${ttl}"`);
  }
  const groups = namesOf(texts["groups"]) ?? DEFAULT_GROUPS;
  for (const group of groups.filter((name) => !isBootstrapGroup(name))) {
    problems.push(`--groups must begin with "system:bootstrappers:": current value is "${group}"`);
  }
  const usages = namesOf(texts["usages"]) ?? BOOTSTRAP_USAGES;
  for (const usage of usages.filter((name) => !BOOTSTRAP_USAGES.some((known) => known === name))) {
    problems.push(`--usages must be signing or authentication: current value is "${usage}"`);
  }
  if (texts["groups"] !== undefined && groups.length > 0 && !usages.includes("authentication")) {
    problems.push("--groups needs authentication among --usages");
  }
  if (problems.length > 0) throw UsageError.wrongSettings(problems, "k3s token create");
  const { id, secret } = given === undefined ? generateBootstrapToken() : parseBootstrapToken(given);
  return {
    ...{ id, secret, usages: [...new Set(usages)].sort(), groups: [...new Set(groups)].sort() },
    description: typeof texts["description"] === "string" ? texts["description"] : "",
    expires: ttlMs === undefined || ttlMs === 0 ? undefined : new Date(now.getTime() + ttlMs),
  };
}

/** `--groups ""` names none. */
function namesOf(value: TokenTexts[string]): readonly string[] | undefined {
  return typeof value === "object" ? value.map((name) => name.trim()).filter((name) => name !== "") : undefined;
}
