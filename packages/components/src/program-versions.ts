import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { KUBERNETES_PROGRAMS } from "./component-set.ts";
import { ComponentError } from "./errors.ts";
import { parseVersion, type ComponentVersions, type Version } from "./version.ts";

const ANSWER_MS = 30_000;

interface Question {
  readonly args: readonly string[];
  /** Finds the version in what the program prints to both outputs. */
  readonly pattern: RegExp;
}

const KUBERNETES: Question = { args: ["--version"], pattern: /^Kubernetes v(\S+)/m };

// The exact wording of each program's answer; Debian's builds add a suffix to upstream's.
const QUESTIONS: Readonly<Record<string, Question>> = {
  "kube-apiserver": KUBERNETES,
  "kube-controller-manager": KUBERNETES,
  "kube-scheduler": KUBERNETES,
  kubelet: KUBERNETES,
  "kube-proxy": KUBERNETES,
  kubectl: { args: ["version", "--client", "--output=json"], pattern: /"gitVersion":\s*"v([^"]+)"/ },
  containerd: { args: ["--version"], pattern: /^containerd \S+ v?(\S+)/m },
  runc: { args: ["--version"], pattern: /^runc version v?(\S+)/m },
  etcd: { args: ["--version"], pattern: /^etcd Version: (\S+)/m },
  crictl: { args: ["--version"], pattern: /^crictl version v?(\S+)/m },
  // Debian's build does not know its version: then the package's counts.
  "cni/bridge": { args: ["--version"], pattern: /^CNI bridge plugin v?(\d\S*)/m },
};

export interface AskOptions {
  readonly binDir: string;
  /** Which of the optional programs are there. */
  readonly optional: readonly ("etcd" | "crictl")[];
  /** Version of the CNI plugins when they do not know it themselves. */
  readonly cniFallback: string;
}

/** Asks the programs themselves. Throws ERR_COMPONENT_VERSION for an answer without a version, ERR_COMPONENT_VERSIONS_MIXED for several of Kubernetes. */
export async function findVersions({ binDir, optional, cniFallback }: AskOptions): Promise<ComponentVersions> {
  const ask = (name: string) => askVersion(binDir, name);
  const kubernetes = await Promise.all(KUBERNETES_PROGRAMS.map(ask));
  const [first, ...others] = kubernetes;
  if (first === undefined || others.some((version) => version.text !== first.text))
    throw ComponentError.mixedVersions(
      kubernetes.map((version, i) => `${KUBERNETES_PROGRAMS[i] ?? ""} ${version.text}`),
    );
  const [containerd, runc, cni] = await Promise.all([ask("containerd"), ask("runc"), askCni(binDir, cniFallback)]);
  const extras = await Promise.all(optional.map(async (name) => [name, await ask(name)] as const));
  return { kubernetes: first, containerd, runc, cni, ...Object.fromEntries(extras) };
}

async function askVersion(binDir: string, name: string): Promise<Version> {
  const question = QUESTIONS[name];
  if (question === undefined) throw new TypeError(`No question for program "${name}"`);
  const answer = await answerOf(join(binDir, name), question.args);
  const version = parseVersion(question.pattern.exec(answer)?.[1] ?? "");
  if (version === undefined) throw ComponentError.version(join(binDir, name), answer.trim());
  return version;
}

async function askCni(binDir: string, fallback: string): Promise<Version> {
  const path = join(binDir, "cni/bridge");
  const answer = await answerOf(path, ["--version"]);
  if (!answer.includes("CNI")) throw ComponentError.version(path, answer.trim());
  const found = QUESTIONS["cni/bridge"]?.pattern.exec(answer)?.[1] ?? fallback;
  return parseVersion(found) ?? { major: 0, minor: 0, patch: 0, text: found };
}

async function answerOf(path: string, args: readonly string[]): Promise<string> {
  try {
    const { stdout, stderr } = await promisify(execFile)(path, args, {
      timeout: ANSWER_MS,
      env: { HOME: "/nonexistent" },
    });
    return `${stdout}\n${stderr}`;
  } catch (error) {
    throw ComponentError.version(path, error instanceof Error ? error.message : String(error));
  }
}
