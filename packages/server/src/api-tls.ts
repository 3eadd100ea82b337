/** What k3s lets clients of the API choose from, in its order (Go's names). */
const DEFAULT_CIPHER_SUITES = [
  "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
  "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
  "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
  "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
  "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
  "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
];

/** The suites that kube-apiserver's arguments ask for, else k3s's own. */
export function cipherSuiteNames(kubeApiserverArgs: readonly string[]): readonly string[] {
  const given = valueOf(kubeApiserverArgs, "tls-cipher-suites");
  return given === undefined ? DEFAULT_CIPHER_SUITES : given.split(",").filter((name) => name !== "");
}

/** `VersionTLS12` and the like; empty when the arguments leave it open. */
export function tlsMinimum(kubeApiserverArgs: readonly string[]): string {
  return valueOf(kubeApiserverArgs, "tls-min-version") ?? "";
}

function valueOf(args: readonly string[], name: string): string | undefined {
  return args.findLast((argument) => argument.startsWith(`${name}=`))?.slice(name.length + 1);
}
