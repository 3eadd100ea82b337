import { Latest, sleep } from "@k3s/async";
import { readIfExists, removeIfExists } from "@k3s/files";
import type { Logger } from "@k3s/log";
import { parseCertificates } from "./certificate.ts";
import { loadCertificates } from "./key-pair.ts";
import { isExpiring } from "./leaf.ts";
import { serverTlsPaths, type ServerTlsPaths } from "./paths.ts";
import { readText, SECRET_MODE, writeText } from "./pki-files.ts";
import { runPkiJob } from "./run-pki-job.ts";
import { LEAF_LIFETIME_DAYS } from "./server-pki.ts";
import { includesName, isAllowedName, normalizeName } from "./serving-names.ts";
import {
  formatServingSecret,
  mergeServing,
  parseServingSecret,
  type ServingCertificate,
  type ServingSecret,
} from "./serving-secret.ts";

/** What the certificate of the one port is made from. */
export interface DynamicCertificateOptions {
  readonly serverDir: string;
  /** Names and addresses the operator and the node's own set-up ask for; wildcards are allowed here only. */
  readonly configuredNames: readonly string[];
  readonly log: Logger;
  /** Default: the clock. */
  readonly now?: () => Date;
  readonly leafLifetimeDays?: number;
}

const RENEWAL_CHECK_MS = 6 * 3_600_000;
const RENEWAL_RETRY_MS = 5 * 60_000;
/** Names that clients may add: a stranger must not make the certificate grow without end. */
const CONNECTION_NAMES_LIMIT = 100;

/**
 * The certificate of the supervisor port. It grows with the names clients use to reach this server, keeps its key when
 * it is signed anew, and is stored in `server/tls/dynamic-cert.json`.
 */
export class DynamicCertificate {
  /** The certificate to serve; set again whenever it changes. */
  readonly current: Latest<ServingCertificate>;
  readonly #options: DynamicCertificateOptions;
  readonly #tls: ServerTlsPaths;
  readonly #pending = new Set<string>();
  #accepts: ((name: string) => boolean) | undefined;
  #tail: Promise<void> = Promise.resolve();

  private constructor(options: DynamicCertificateOptions, current: ServingCertificate) {
    this.#options = options;
    this.#tls = serverTlsPaths(options.serverDir);
    this.current = new Latest(current);
  }

  /** Loads what is stored, or makes a certificate; renews it when it has to be. Rejects with PkiError. */
  static async open(options: DynamicCertificateOptions): Promise<DynamicCertificate> {
    const tls = serverTlsPaths(options.serverDir);
    const stored = await loadStored(tls.dynamicCert, options.log);
    const isForced = (await readIfExists(tls.dynamicCertRegenerate)) !== undefined;
    const names = configuredNames(options);
    const isUsable = stored !== undefined && !isForced && (stored.isStatic || (await isFresh(stored, names, options)));
    if (isUsable) return new DynamicCertificate(options, stored);
    const certificate = await sign(options, {
      names: [...names, ...(stored?.names ?? [])],
      keyPem: isForced ? undefined : stored?.keyPem,
    });
    await store(tls.dynamicCert, certificate);
    if (isForced) await removeIfExists(tls.dynamicCertRegenerate); // last: a start cut off before is told again
    return new DynamicCertificate(options, certificate);
  }

  /** From now on only configured names and those `accepts` says yes to are added; undefined lifts the rule. */
  restrictNames(accepts: ((name: string) => boolean) | undefined): void {
    this.#accepts = accepts;
  }

  /**
   * Adds names that clients used. Names that are covered, malformed or not accepted are left out. Resolves once
   * `current` covers the rest; calls that come while a certificate is signed share the next one.
   */
  async offerNames(names: readonly string[]): Promise<void> {
    for (const name of names.map(normalizeName)) if (this.#isWanted(name)) this.#pending.add(name);
    if (this.#pending.size > 0) await this.#inTurn(() => this.#signPending());
  }

  /** Renews the certificate when its end is near. Resolves with whether it did. */
  async renewIfExpiring(): Promise<boolean> {
    const { isStatic, notAfter } = this.current.get();
    if (isStatic || !isExpiring(notAfter, this.#now())) return false;
    await this.#inTurn(() => this.#signWith(this.current.get().names));
    return true;
  }

  /** Checks for renewal every six hours, after a failure every five minutes, until `signal` aborts. Never rejects. */
  async keepRenewed(signal: AbortSignal): Promise<void> {
    let waitMs = RENEWAL_CHECK_MS;
    while (!signal.aborted) {
      try {
        await sleep(waitMs, signal);
        await this.renewIfExpiring();
        waitMs = RENEWAL_CHECK_MS;
      } catch (error) {
        if (signal.aborted) return;
        this.#options.log.error({ error }, "cannot renew the certificate of the supervisor port");
        waitMs = RENEWAL_RETRY_MS;
      }
    }
  }

  /** Unites this certificate with one of another server. Rejects with an Error when `secret` holds none. */
  async merge(secret: unknown): Promise<void> {
    const additional = parseServingSecret(secret);
    await this.#inTurn(async () => {
      const decision = mergeServing(this.current.get(), additional, this.#now());
      if (decision.kind === "take-additional") await this.#use(additional);
      else if (decision.kind === "sign") await this.#signWith(decision.names);
    });
  }

  /** The certificate in the form of Secret kube-system/k3s-serving. */
  toSecret(): ServingSecret {
    return formatServingSecret(this.current.get());
  }

  #isWanted(name: string): boolean {
    const { isStatic, names } = this.current.get();
    if (isStatic || includesName(names, name)) return false;
    const isRefused = !isAllowedName(name, "connection") || this.#accepts?.(name) === false;
    const added = names.length + this.#pending.size - this.#options.configuredNames.length;
    if (!isRefused && added < CONNECTION_NAMES_LIMIT) return true;
    this.#options.log.debug({ name }, "name not added to the certificate of the supervisor port");
    return false;
  }

  async #signPending(): Promise<void> {
    const { names } = this.current.get();
    const added = [...this.#pending].filter((name) => !includesName(names, name));
    this.#pending.clear();
    if (added.length > 0) await this.#signWith([...names, ...added]);
  }

  async #signWith(names: readonly string[]): Promise<void> {
    await this.#use(await sign(this.#options, { names, keyPem: this.current.get().keyPem }));
  }

  async #use(certificate: ServingCertificate): Promise<void> {
    await store(this.#tls.dynamicCert, certificate);
    this.current.set(certificate);
  }

  async #inTurn(task: () => Promise<void>): Promise<void> {
    const turn = this.#tail.then(task);
    this.#tail = turn.catch(() => undefined); // the caller of this turn hears of it; the next one starts anyway
    await turn;
  }

  #now(): Date {
    return this.#options.now?.() ?? new Date();
  }
}

async function sign(
  options: DynamicCertificateOptions,
  wanted: { readonly names: readonly string[]; readonly keyPem: string | undefined },
): Promise<ServingCertificate> {
  const names = [...new Set(wanted.names)].sort();
  const { certPem, keyPem } = await runPkiJob("signServing", {
    serverDir: options.serverDir,
    sans: names,
    now: options.now?.() ?? new Date(),
    leafLifetimeDays: options.leafLifetimeDays ?? LEAF_LIFETIME_DAYS,
    ...(wanted.keyPem === undefined ? {} : { keyPem: wanted.keyPem }),
  });
  const [leaf] = parseCertificates(certPem);
  const notAfter = leaf?.notAfter ?? new Date(0);
  options.log.info({ names: names.length, notAfter }, "certificate of the supervisor port signed");
  return { certPem, keyPem, names, notAfter, isStatic: false };
}

async function store(path: string, certificate: ServingCertificate): Promise<void> {
  await writeText(path, { text: `${JSON.stringify(formatServingSecret(certificate))}\n`, mode: SECRET_MODE });
}

/** Nothing depends on this file: what cannot be read is replaced. */
async function loadStored(path: string, log: Logger): Promise<ServingCertificate | undefined> {
  const text = await readText(path);
  if (text === undefined) return undefined;
  try {
    return parseServingSecret(JSON.parse(text));
  } catch (error) {
    log.warn({ path, error }, "stored certificate of the supervisor port is damaged and will be replaced");
    return undefined;
  }
}

/** Whether a stored certificate is of the CA of today, lasts long enough and has every configured name. */
async function isFresh(
  stored: ServingCertificate,
  names: readonly string[],
  options: DynamicCertificateOptions,
): Promise<boolean> {
  const now = options.now?.() ?? new Date();
  const [leaf] = parseCertificates(stored.certPem);
  const authorities = await loadCertificates(serverTlsPaths(options.serverDir).serverCa.cert);
  if (leaf === undefined || authorities === undefined || now < leaf.notBefore) return false;
  const [authority] = authorities;
  const isOurs = leaf.x509.checkIssued(authority.x509) && leaf.x509.verify(authority.x509.publicKey);
  return isOurs && !isExpiring(stored.notAfter, now) && names.every((name) => includesName(stored.names, name));
}

function configuredNames({ configuredNames: names, log }: DynamicCertificateOptions): string[] {
  const allowed = names.filter((name) => isAllowedName(name, "configuration"));
  const dropped = names.filter((name) => !allowed.includes(name));
  if (dropped.length > 0) log.error({ names: dropped }, "names that no certificate can hold are left out");
  return allowed.map((name) => (name.startsWith("*") ? name : normalizeName(name)));
}
