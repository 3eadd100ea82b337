import {
  BOOTSTRAP_USAGES,
  generateBootstrapToken,
  isBootstrapGroup,
  parseBootstrapToken,
  type BootstrapToken,
} from "@k3s/token";
import { UsageError } from "../errors.ts";
import { parseDuration } from "./parse-duration.ts";

/** The texts that commander found, by option. */
export type TokenTexts = Readonly<Record<string, string | boolean | readonly string[] | undefined>>;

/** Values of k3s. */
const DEFAULT_GROUPS = ["system:bootstrappers:k3s:default-node-token"];
const DEFAULT_TTL = "24h";

/** The token that `k3s token create` was asked for. Throws UsageError with every mistake, or TokenError. */
export function readNewToken([given]: readonly string[], texts: TokenTexts, now: Date): BootstrapToken {
  const problems: string[] = [];
  const report = (problem: string) => void problems.push(problem);
  const expires = readExpiry(texts["ttl"], now, report);
  const usages = readUsages(texts["usages"], report);
  const groups = readGroups(texts["groups"], usages, report);
  if (problems.length > 0) throw UsageError.wrongSettings(problems, "k3s token create");
  const { id, secret } = given === undefined ? generateBootstrapToken() : parseBootstrapToken(given);
  const description = typeof texts["description"] === "string" ? texts["description"] : "";
  return { id, secret, description, expires, usages, groups };
}

type Report = (problem: string) => void;

function readExpiry(given: TokenTexts[string], now: Date, report: Report): Date | undefined {
  const text = typeof given === "string" ? given : DEFAULT_TTL;
  const ms = parseDuration(text);
  if (ms === 0) return undefined;
  const expires = new Date(now.getTime() + (ms ?? Number.NaN));
  if (!Number.isNaN(expires.getTime()) && expires > now) return expires;
  report(`--ttl must be a duration such as 90m or 48h, or 0: current value is "${text}"`);
  return undefined;
}

function readUsages(given: TokenTexts[string], report: Report): readonly string[] {
  const usages = namesOf(given) ?? [...BOOTSTRAP_USAGES];
  for (const usage of usages.filter((name) => !BOOTSTRAP_USAGES.some((known) => known === name))) {
    report(`--usages must be signing or authentication: current value is "${usage}"`);
  }
  return usages.sort();
}

function readGroups(given: TokenTexts[string], usages: readonly string[], report: Report): readonly string[] {
  const groups = namesOf(given) ?? [...DEFAULT_GROUPS];
  for (const group of groups.filter((name) => !isBootstrapGroup(name))) {
    report(`--groups must begin with "system:bootstrappers:": current value is "${group}"`);
  }
  if (given !== undefined && groups.length > 0 && !usages.includes("authentication")) {
    report("--groups needs authentication among --usages");
  }
  return groups.sort();
}

/** `--groups ""` names none. */
function namesOf(value: TokenTexts[string]): string[] | undefined {
  if (typeof value !== "object") return undefined;
  return [...new Set(value.map((name) => name.trim()).filter((name) => name !== ""))];
}
