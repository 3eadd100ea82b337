import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { promisify } from "node:util";

const run = promisify(execFile);

export interface LeafOptions {
  readonly ca: string;
  /** As openssl's -subj takes it. */
  readonly subject: string;
  readonly usage?: "clientAuth" | "serverAuth";
  readonly san?: string;
  /** Validity from now; negative: it is over. */
  readonly days?: number;
}

export interface Pair {
  readonly cert: string;
  readonly key: string;
}

/** Certificates made by openssl in a temp folder. */
export class TestPki {
  readonly dir: string;

  private constructor(dir: string) {
    this.dir = dir;
  }

  /** With server-ca, client-ca, request-header-ca, other-ca and the leaves that every test needs. */
  static async create(t: Pick<TestContext, "after">): Promise<TestPki> {
    const dir = await mkdtemp(join(tmpdir(), "k3s-supervisor-pki-"));
    t.after(() => rm(dir, { recursive: true, force: true }));
    const pki = new TestPki(dir);
    await Promise.all(["server-ca", "client-ca", "request-header-ca", "other-ca"].map((name) => pki.ca(name)));
    const san = "DNS:localhost,IP:127.0.0.1,IP:::1";
    await pki.leaf("serving", { ca: "server-ca", subject: "/O=k3s/CN=k3s", usage: "serverAuth", san });
    await pki.leaf("apiserver", { ca: "server-ca", subject: "/CN=kube-apiserver", usage: "serverAuth", san });
    await pki.leaf("proxy", { ca: "request-header-ca", subject: "/CN=system:auth-proxy" });
    await pki.leaf("admin", { ca: "client-ca", subject: "/O=system:masters/CN=system:admin" });
    return pki;
  }

  path(name: string): string {
    return join(this.dir, name);
  }

  read(name: string): Pair {
    return {
      cert: readFileSync(this.path(`${name}.crt`), "utf8"),
      key: readFileSync(this.path(`${name}.key`), "utf8"),
    };
  }

  /** The content of a CA's certificate file. */
  caOf(name: string): string {
    return readFileSync(this.path(`${name}.crt`), "utf8");
  }

  async ca(name: string): Promise<void> {
    const extensions = ["basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,digitalSignature"];
    await this.#openssl(
      "req",
      "-x509",
      ...newKey(this.path(name)),
      "-out",
      this.path(`${name}.crt`),
      "-subj",
      `/CN=${name}`,
      "-days",
      "30",
      ...extensions.flatMap((line) => ["-addext", line]),
    );
  }

  /** A CA below another one. */
  async intermediate(name: string, issuer: string): Promise<void> {
    const [file, above] = [this.path(name), this.path(issuer)];
    await this.#openssl("req", ...newKey(file), "-out", `${file}.csr`, "-subj", `/CN=${name}`);
    await writeFile(`${file}.ext`, "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign\n");
    const signing = ["-CA", `${above}.crt`, "-CAkey", `${above}.key`, "-set_serial", String(serial()), "-days", "20"];
    await this.#openssl(
      "x509",
      "-req",
      "-in",
      `${file}.csr`,
      ...signing,
      "-extfile",
      `${file}.ext`,
      "-out",
      `${file}.crt`,
    );
  }

  async leaf(name: string, options: LeafOptions): Promise<Pair> {
    const file = this.path(name);
    const { ca, subject, usage = "clientAuth", san, days = 20 } = options;
    await this.#openssl("req", "-utf8", ...newKey(file), "-out", `${file}.csr`, "-subj", subject);
    await writeFile(`${file}.ext`, `extendedKeyUsage=${usage}\n${san === undefined ? "" : `subjectAltName=${san}\n`}`);
    const issuer = this.path(ca);
    await this.#openssl(
      "x509",
      "-req",
      "-in",
      `${file}.csr`,
      "-CA",
      `${issuer}.crt`,
      "-CAkey",
      `${issuer}.key`,
      "-set_serial",
      String(serial()),
      "-days",
      String(days),
      "-extfile",
      `${file}.ext`,
      "-out",
      `${file}.crt`,
    );
    return this.read(name);
  }

  async #openssl(...args: readonly string[]): Promise<void> {
    await run("openssl", args);
  }
}

function newKey(file: string): readonly string[] {
  return ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", `${file}.key`];
}

function serial(): number {
  return Math.floor(Math.random() * 2 ** 48) + 1;
}
