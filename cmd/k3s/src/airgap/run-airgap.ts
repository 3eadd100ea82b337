import { access, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { AirgapError, makeBundle, makeImageArchive, neededImages, type ImageArchiveOptions } from "@k3s/airgap";
import { executablePath } from "@k3s/components";
import { settingEntries } from "@k3s/config";
import { MANIFESTS } from "@k3s/controllers";
import { createLogger } from "@k3s/log";
import { buildInfo } from "../build-info.ts";
import type { CommandContext } from "../context.ts";
import { listenForStop } from "../signals.ts";
import { toolSet } from "../tools/tool-set.ts";

export type AirgapAction = "list" | "images" | "bundle";

/** What the command line says. */
export interface AirgapTexts {
  readonly output?: string;
  readonly from?: readonly string[];
  readonly image?: readonly string[];
  readonly offline?: true;
  readonly hostsDir?: string;
  readonly executable?: string;
  readonly installer?: string;
  /** Where the programs that do the work are, or are unpacked to. */
  readonly dataDir?: string;
}

/** Processors by Node's names, as Go and the names of release files spell them. */
const ARCHITECTURES: Readonly<Record<string, string>> = { x64: "amd64" };

/** Runs one of the commands for machines without internet and resolves with the exit code. Rejects with NodeError. */
export async function runAirgap(action: AirgapAction, texts: AirgapTexts, context: CommandContext): Promise<number> {
  using requests = listenForStop();
  const signal = requests.shutdown;
  try {
    const manifests = await Promise.all(MANIFESTS.map((name) => context.readManifest(name)));
    const references = neededImages({ pauseImage: defaultPauseImage(), manifests, more: texts.image ?? [] });
    if (action === "list") context.write(references.map((name) => `${name}\n`).join(""));
    else await make(action, references, { texts, context, signal });
    return 0;
  } catch (error) {
    if (signal.aborted) return 1;
    throw error;
  }
}

function defaultPauseImage(): string {
  return settingEntries.find(([name]) => name === "pause-image")?.[1].fallbackText ?? "";
}

interface Order {
  readonly texts: AirgapTexts;
  readonly context: CommandContext;
  readonly signal: AbortSignal;
}

async function make(action: "images" | "bundle", references: readonly string[], order: Order): Promise<void> {
  const { texts, context } = order;
  if (process.geteuid?.() !== 0) throw AirgapError.notRoot(); // before anything is unpacked
  const set = await toolSet(context, { globals: texts.dataDir === undefined ? [] : ["--data-dir", texts.dataDir] });
  const architecture = ARCHITECTURES[process.arch] ?? process.arch;
  const what = action === "images" ? "images" : `v${set.versions.kubernetes.text}-${buildInfo.release}`;
  const name = `k3s-airgap-${what}-${architecture}${action === "images" ? ".tar.zst" : ".tar"}`;
  const output = resolve(texts.output ?? name);
  const options: ImageArchiveOptions = {
    ...{ references, output, architecture, set, signal: order.signal },
    from: [...((await isThere(set.imagesDir)) ? [set.imagesDir] : []), ...(texts.from ?? [])],
    path: executablePath({ set, inherited: context.env["PATH"] ?? "", preferBundled: false }),
    offline: texts.offline === true,
    hostsDir: texts.hostsDir,
    log: createLogger({ level: "error", format: "text", write: context.writeError }),
    onStep: (step) => context.writeError(`${step}\n`),
  };
  if (action === "images") await makeImageArchive(options);
  else await makeBundle({ ...options, ...partsOf(texts, context) });
  const { size } = await stat(output);
  context.write(`${output} (${Math.ceil(size / 1024 ** 2)} MiB)\n`);
}

/** The executable and where its installer may be: beside it, or at the top of what it was built from. */
function partsOf(texts: AirgapTexts, { executable: own }: CommandContext) {
  const executable = resolve(texts.executable ?? own);
  const folder = dirname(executable);
  const beside = [folder, dirname(folder)].map((place) => join(place, "install.sh"));
  return { executable, installers: texts.installer === undefined ? beside : [resolve(texts.installer)] };
}

async function isThere(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}
