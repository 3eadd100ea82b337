import { readFile } from "node:fs/promises";
import { findRecipe, type DebianRecipe } from "./debian-recipe.ts";

/** The suite of this machine and the way to make components from it. */
export interface DebianSuite {
  readonly codename: string;
  readonly recipe: DebianRecipe;
}

/** Undefined when this machine is not a Debian of a known suite. */
export async function findDebianSuite(osRelease = "/etc/os-release"): Promise<DebianSuite | undefined> {
  const text = await readFile(osRelease, "utf8").catch(() => "");
  const codename = /^VERSION_CODENAME="?([a-z]+)"?$/m.exec(text)?.[1];
  const recipe = codename === undefined ? undefined : findRecipe(codename);
  const isDebian = /^ID="?debian"?$/m.test(text);
  return isDebian && codename !== undefined && recipe !== undefined ? { codename, recipe } : undefined;
}
