import { readFile } from "node:fs/promises";
import { join } from "node:path";

const README = join(import.meta.dirname, "../../README.md");

/** The commands with which README.md ends everything: those for the running server, and those for after its stop. */
export async function removalRecipe(): Promise<{ readonly running: string; readonly stopped: string }> {
  const blocks = (await readFile(README, "utf8")).matchAll(/^```sh\n([^]*?)^```$/gm);
  for (const [, block = ""] of blocks) {
    const [running = "", stopped] = block.split("# after Ctrl-C:\n");
    if (stopped !== undefined) return { running, stopped };
  }
  throw new Error("Cannot find the commands that remove everything: README.md has none");
}
