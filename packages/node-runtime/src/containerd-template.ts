import { join } from "node:path";
import { readIfExists } from "@k3s/files";
import { NodeRuntimeError } from "./errors.ts";

/** The configuration that the user's template asks for; `version` is that of containerd's file format. */
export interface RenderedConfig {
  readonly version: 2 | 3;
  readonly text: string;
}

const BASE = /\{\{-?\s*template\s+"base"\s+\.\s*-?\}\}/g;
/** Templates by the version of their content, in the order in which they are looked for. */
const TEMPLATES = [
  { name: "config-v3.toml.tmpl", version: 3 },
  { name: "config.toml.tmpl", version: 2 },
] as const;

/**
 * The user's template in `folder`, with the default configuration of the same version in the place of
 * `{{ template "base" . }}`; without a template the default of version `newest`.
 * Rejects with NodeRuntimeError when the template has other actions: those would need Go.
 */
export async function renderConfig(
  folder: string,
  newest: 2 | 3,
  base: (version: 2 | 3) => string,
): Promise<RenderedConfig> {
  for (const { name, version } of TEMPLATES) {
    const template = version <= newest ? await readIfExists(join(folder, name)) : undefined;
    if (template === undefined) continue;
    const text = template.toString().replace(BASE, () => base(version));
    const action = /\{\{.*?(?:\}\}|$)/m.exec(text)?.[0];
    if (action !== undefined) throw NodeRuntimeError.containerdTemplate(join(folder, name), action);
    return { version, text: tidy(text) };
  }
  return { version: newest, text: tidy(base(newest)) };
}

/** No empty lines but one before each table (k3s). */
function tidy(text: string): string {
  const lines = text.split("\n").filter((line) => line.trim() !== "");
  return `${lines.map((line) => (line.startsWith("[") ? `\n${line}` : line)).join("\n")}\n`;
}
