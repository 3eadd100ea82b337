import { readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { makeDirectory } from "@k3s/files";
import { ofOtherSuite, withSourcePackages, type AptSourceFile, type AptSources } from "./apt-sources.ts";
import { ComponentError } from "./errors.ts";
import { inStep } from "./progress.ts";
import { runCommand } from "./run-command.ts";
import type { SourceContext } from "./source-context.ts";
import { absentAsUndefined, hashFile } from "./verify.ts";

/** A source package as the archive lists it. */
export interface SourcePackage {
  readonly version: string;
  /** File names and their SHA-256. */
  readonly files: ReadonlyMap<string, string>;
}

/** A package that was downloaded. */
export interface BinaryPackage {
  readonly name: string;
  readonly version: string;
  readonly path: string;
}

/** apt with lists, cache and state of its own: nothing of the host is changed, and nothing is installed. */
export class PrivateApt {
  readonly #folder: string;
  readonly #context: SourceContext;

  private constructor(folder: string, context: SourceContext) {
    this.#folder = folder;
    this.#context = context;
  }

  /** Fetches the current lists of the machine's archives, which are those of the suite `codename`. */
  static async open(folder: string, codename: string, context: SourceContext): Promise<PrivateApt> {
    const apt = new PrivateApt(folder, context);
    await apt.#update(withSourcePackages(await readSources("/etc/apt"), codename), codename);
    return apt;
  }

  /** The same of another suite of Debian in the archives of `codename`; it knows no source packages. `folder` is its own. */
  static async openOther(
    folder: string,
    { codename, other }: { readonly codename: string; readonly other: string },
    context: SourceContext,
  ): Promise<PrivateApt> {
    const apt = new PrivateApt(folder, context);
    await apt.#update(ofOtherSuite(await readSources("/etc/apt"), codename, other), codename);
    return apt;
  }

  /** Rejects with ERR_COMPONENT_BUILD when the archive has no such source package. */
  async showSource(name: string): Promise<SourcePackage> {
    const options = [...this.#options(), "showsrc", "--only-source", name];
    const text = await runCommand(["apt-cache", ...options], this.#run(`find source package ${name}`));
    const stanzas = text.split("\n\n").map(parseStanza);
    const stanza = stanzas.find((fields) => fields.has("Version") && fields.has("Checksums-Sha256"));
    if (stanza === undefined) throw ComponentError.build(`find source package ${name}`, "the archive has none");
    const lines = (stanza.get("Checksums-Sha256") ?? "").trim().split("\n");
    const files = lines
      .map((line) => line.trim().split(/\s+/))
      .map(([digest = "", , file = ""]) => [file, digest] as const);
    return { version: stanza.get("Version") ?? "", files: new Map(files) };
  }

  /** Downloads the upstream tree of a source package into `folder` and returns the verified tarball's path. */
  async downloadSourceTree(name: string, source: SourcePackage, folder: string): Promise<string> {
    const entry = [...source.files].find(([file]) => /\.orig\.tar\.\w+$/.test(file));
    if (entry === undefined) throw ComponentError.build(`download source package ${name}`, "it has no .orig.tar file");
    const [file, digest] = entry;
    const path = join(folder, file);
    if (!(await hasContent(path, digest))) {
      await makeDirectory(folder);
      const step = `Download source of ${name}`;
      await this.#download(["source", "--download-only", "--tar-only", `${name}=${source.version}`], folder, step);
    }
    if (!(await hasContent(path, digest))) throw ComponentError.checksum({ path, keptAs: path });
    return path;
  }

  /** Downloads packages into `folder` (those there stay) and returns where they are. Checksums are apt's own business. */
  async downloadPackages(names: readonly string[], folder: string, step: string): Promise<readonly BinaryPackage[]> {
    await makeDirectory(folder);
    await this.#download(["download", ...names], folder, step);
    const wanted = new Set(names);
    return (await packagesIn(folder)).filter((entry) => wanted.has(entry.name));
  }

  /**
   * Downloads packages and all that they depend on, by apt's own choice, as on a machine where nothing is installed. Nothing else is in the
   * cache afterwards.
   */
  async downloadClosure(names: readonly string[], step: string): Promise<readonly BinaryPackage[]> {
    await this.#get(["clean"], "empty the cache");
    const installed = join(this.#folder, "nothing-installed");
    await writeFile(installed, "");
    const install = ["install", "--download-only", "--no-install-recommends", "--yes"];
    await this.#download(["-o", `Dir::State::status=${installed}`, ...install, ...names], this.#folder, step);
    return packagesIn(join(this.#folder, "cache/archives"));
  }

  async #download(args: readonly string[], cwd: string, step: string): Promise<void> {
    const { progress } = this.#context;
    progress({ step });
    // Lines such as "dlstatus:3:41.2:Retrieving file 3 of 14"; file descriptor 2 is the one that is read line by line.
    const onLine = (line: string) => {
      const percent = /^dlstatus:\d+:([\d.]+):/.exec(line)?.[1];
      if (percent !== undefined) progress({ step, done: Math.floor(Number(percent)), total: 100 });
    };
    await this.#get(["-o", "APT::Status-Fd=2", ...args], `download packages (${step})`, { cwd, onLine });
    progress({ step, finished: true });
  }

  async #get(
    args: readonly string[],
    purpose: string,
    extra: { readonly cwd?: string; readonly onLine?: (line: string) => void } = {},
  ): Promise<string> {
    return runCommand(["apt-get", ...this.#options(), ...args], { ...this.#run(purpose), ...extra });
  }

  #run(purpose: string) {
    const { environment, signal } = this.#context;
    return { purpose, env: { ...environment, LC_ALL: "C.UTF-8", DEBIAN_FRONTEND: "noninteractive" }, signal };
  }

  #options(): string[] {
    const settings = {
      "Dir::Etc::sourcelist": join(this.#folder, "sources.list"),
      "Dir::Etc::sourceparts": join(this.#folder, "sources.list.d"),
      "Dir::State": join(this.#folder, "state"),
      "Dir::State::status": "/var/lib/dpkg/status",
      "Dir::Cache": join(this.#folder, "cache"),
      "APT::Sandbox::User": "root", // else apt warns that its own user cannot write to our folders
      "Acquire::Languages": "none",
      "Acquire::Retries": "3",
      "APT::Update::Error-Mode": "any",
      quiet: "1",
    };
    return Object.entries(settings).flatMap(([name, value]) => ["-o", `${name}=${value}`]);
  }

  async #update(sources: AptSources, codename: string): Promise<void> {
    await this.#writeSources(sources, codename);
    const { progress } = this.#context;
    await inStep(progress, "Read package lists", () => this.#get(["update"], "read the package lists"));
  }

  async #writeSources(sources: AptSources, codename: string): Promise<void> {
    if (sources.list === "" && sources.sources === "")
      throw ComponentError.build("read the package lists", `/etc/apt names no archive of suite ${codename}`);
    for (const folder of ["sources.list.d", "state/lists/partial", "cache/archives/partial"])
      await makeDirectory(join(this.#folder, folder));
    await writeFile(join(this.#folder, "sources.list"), sources.list);
    await writeFile(join(this.#folder, "sources.list.d/debian.sources"), sources.sources);
  }
}

async function packagesIn(folder: string): Promise<readonly BinaryPackage[]> {
  const files = (await readdir(folder)).filter((file) => file.endsWith(".deb"));
  return files.map((file) => {
    const [name = "", version = ""] = file.split("_");
    return { name, version: decodeURIComponent(version), path: join(folder, file) };
  });
}

async function readSources(etc: string): Promise<AptSourceFile[]> {
  const parts = (await readdir(join(etc, "sources.list.d")).catch(absentAsUndefined)) ?? [];
  const paths = [join(etc, "sources.list"), ...parts.sort().map((name) => join(etc, "sources.list.d", name))];
  const files = await Promise.all(
    paths.map(async (path) => {
      const text = await readFile(path, "utf8").catch(absentAsUndefined);
      const format = path.endsWith(".list") ? "list" : path.endsWith(".sources") ? "sources" : undefined;
      return text === undefined || format === undefined ? [] : [{ format, text } as const];
    }),
  );
  return files.flat();
}

/** Fields of one stanza; the lines of a multi-line field are kept. */
function parseStanza(text: string): Map<string, string> {
  const fields = new Map<string, string>();
  let current = "";
  for (const line of text.split("\n")) {
    const match = /^([A-Za-z0-9-]+):(.*)$/.exec(line);
    if (match?.[1] !== undefined) fields.set((current = match[1]), match[2]?.trim() ?? "");
    else if (current !== "") fields.set(current, `${fields.get(current) ?? ""}\n${line.trim()}`.trim());
  }
  return fields;
}

async function hasContent(path: string, digest: string): Promise<boolean> {
  const found = await stat(path).catch(absentAsUndefined);
  return found !== undefined && (await hashFile(path)) === digest;
}
