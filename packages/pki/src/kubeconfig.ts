/** What a component needs to reach the API server: an address and paths of files. */
export interface KubeconfigFiles {
  readonly server: string;
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
}

/** The kubeconfig of a component, in the shape k3s gives it. */
export function formatKubeconfig(files: KubeconfigFiles): string {
  return lines(
    "apiVersion: v1",
    "clusters:",
    "- cluster:",
    `    server: ${scalar(files.server)}`,
    `    certificate-authority: ${scalar(files.caFile)}`,
    "  name: local",
    "contexts:",
    "- context:",
    "    cluster: local",
    "    namespace: default",
    "    user: user",
    "  name: Default",
    "current-context: Default",
    "kind: Config",
    "preferences: {}",
    "users:",
    "- name: user",
    "  user:",
    `    client-certificate: ${scalar(files.certFile)}`,
    `    client-key: ${scalar(files.keyFile)}`,
  );
}

/** Everything a person's kubeconfig holds; the PEM texts are embedded. */
export interface EmbeddedKubeconfig {
  readonly server: string;
  /** Name of the cluster, the user and the context. */
  readonly name: string;
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** The kubeconfig for people: no paths, so it can be carried elsewhere. */
export function formatEmbeddedKubeconfig(parts: EmbeddedKubeconfig): string {
  const name = scalar(parts.name);
  return lines(
    "apiVersion: v1",
    "clusters:",
    "- cluster:",
    `    certificate-authority-data: ${base64(parts.ca)}`,
    `    server: ${scalar(parts.server)}`,
    `  name: ${name}`,
    "contexts:",
    "- context:",
    `    cluster: ${name}`,
    `    user: ${name}`,
    `  name: ${name}`,
    `current-context: ${name}`,
    "kind: Config",
    "preferences: {}",
    "users:",
    `- name: ${name}`,
    "  user:",
    `    client-certificate-data: ${base64(parts.cert)}`,
    `    client-key-data: ${base64(parts.key)}`,
  );
}

/** Plain where YAML reads it back as the same string, else quoted. */
function scalar(text: string): string {
  const isPlain =
    /^[A-Za-z/][\w./:@+[\]-]*[\w/\]]$|^[A-Za-z/]$/.test(text) && !/^(true|false|null|yes|no|on|off|y|n)$/i.test(text);
  return isPlain ? text : JSON.stringify(text);
}

function base64(text: string): string {
  return Buffer.from(text, "utf8").toString("base64");
}

function lines(...all: readonly string[]): string {
  return `${all.join("\n")}\n`;
}
