/** The machine's own lists of package archives, as files of both formats. */
export interface AptSourceFile {
  /** `.list` is one line for each archive, `.sources` is deb822. */
  readonly format: "list" | "sources";
  readonly text: string;
}

/** Our own lists: the same archives, each with its source packages. One text for each format; either may be empty. */
export interface AptSources {
  readonly list: string;
  readonly sources: string;
}

/**
 * Derives lists that also name source packages, keeping every option (keys, mirrors). Only archives of the suite `codename`
 * (with its -updates, -security, …) are taken, so that other archives on the machine cannot replace a package.
 */
export function withSourcePackages(files: readonly AptSourceFile[], codename: string): AptSources {
  const lines = files.filter((file) => file.format === "list").flatMap((file) => listEntries(file.text, codename));
  const stanzas = files
    .filter((file) => file.format === "sources")
    .flatMap((file) => deb822Entries(file.text, codename));
  return {
    list: lines.map((line) => `${line}\n`).join(""),
    sources: stanzas.map((stanza) => `${stanza}\n`).join("\n"),
  };
}

const DEBIAN_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg";

/**
 * Derives lists of the suite `other` of Debian, without its source packages: the archives that hold `codename` itself on this machine.
 * Options are kept (mirrors, architectures) but for those that say whom to trust: Debian's own keyring has to know the signature, since
 * the machine may name the keys of its suite alone, or none.
 */
export function ofOtherSuite(files: readonly AptSourceFile[], codename: string, other: string): AptSources {
  const own = withSourcePackages(files, codename);
  const lines = own.list.split("\n").flatMap((line) => otherLine(line, codename, other));
  const stanzas = own.sources.split("\n\n").flatMap((stanza) => otherStanza(stanza.trim(), codename, other));
  return {
    list: lines.map((line) => `${line}\n`).join(""),
    sources: stanzas.map((stanza) => `${stanza}\n`).join("\n"),
  };
}

function otherLine(line: string, codename: string, other: string): string[] {
  const [, options = "", uri, suite, components = ""] =
    /^deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)(.*)$/.exec(line) ?? [];
  if (uri === undefined || suite !== codename) return [];
  const kept = options.split(/\s+/).filter((option) => option !== "" && !isOfTrust(option));
  return [`deb [${[...kept, `signed-by=${DEBIAN_KEYRING}`].join(" ")}] ${uri} ${other}${components}`];
}

function otherStanza(stanza: string, codename: string, other: string): string[] {
  const fields = stanza.split(/\n(?![ \t])/);
  const suites = fields.find((field) => /^Suites:/i.test(field))?.split(/\s+/) ?? [];
  if (!suites.includes(codename)) return [];
  const kept = fields.filter((field) => !/^(Types|Suites):/i.test(field) && !isOfTrust(field));
  return [["Types: deb", ...kept, `Suites: ${other}`, `Signed-By: ${DEBIAN_KEYRING}`].join("\n")];
}

/** An option of a line, or a field. */
function isOfTrust(option: string): boolean {
  return /^(signed-by|trusted|allow-\w[\w-]*)\s*[:=+-]/i.test(option);
}

const ONE_LINE = /^deb\s+((?:\[[^\]]*\]\s+)?\S+\s+(\S+).*)$/;

function listEntries(text: string, codename: string): string[] {
  const entries = text.split("\n").flatMap((line) => {
    const match = ONE_LINE.exec(line.replace(/#.*$/, "").trim());
    return match?.[1] !== undefined && isOfSuite(match[2] ?? "", codename) ? [match[1]] : [];
  });
  return entries.flatMap((entry) => [`deb ${entry}`, `deb-src ${entry}`]);
}

function deb822Entries(text: string, codename: string): string[] {
  return text
    .split(/\n[ \t]*\n/)
    .map((stanza) => stanza.replace(/^#.*\n?/gm, "").trim())
    .filter((stanza) => stanza !== "" && !/^Enabled:\s*(no|false|0)\s*$/im.test(stanza))
    .filter((stanza) => /^Types:.*\bdeb(?!-)\b/im.test(stanza))
    .flatMap((stanza) => withSuites(stanza, codename))
    .map((stanza) => stanza.replace(/^Types:.*$/im, "Types: deb deb-src"));
}

function withSuites(stanza: string, codename: string): string[] {
  const suites = /^Suites:(.*)$/im.exec(stanza)?.[1]?.trim().split(/\s+/) ?? [];
  const kept = suites.filter((suite) => isOfSuite(suite, codename));
  return kept.length === 0 ? [] : [stanza.replace(/^Suites:.*$/im, `Suites: ${kept.join(" ")}`)];
}

function isOfSuite(suite: string, codename: string): boolean {
  return [codename, `${codename}-updates`, `${codename}-security`, `${codename}/updates`].includes(suite);
}
