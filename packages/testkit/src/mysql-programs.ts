import { existsSync } from "node:fs";
import { realpath, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { findProgram } from "./programs.ts";

/** A folder with Debian's packages of MySQL and all that they depend on, unpacked: tests of MariaDB use it instead. */
const ROOT_VARIABLE = "K3S_TEST_MYSQL_ROOT";
const LIBRARIES = "lib/x86_64-linux-gnu";

/** A server of either product as a test starts it: words of a command line, to which the places of its files are added. */
export interface MysqlPrograms {
  readonly product: "MariaDB" | "MySQL";
  /** Makes the data folder, with a user root who has no password. */
  readonly install: readonly [string, ...string[]];
  readonly serve: readonly [string, ...string[]];
  /** Switches TLS off. */
  readonly withoutTls: string;
}

/** Small, but as durable as a server with default settings. */
const SETTINGS = ["--innodb-buffer-pool-size=64M", "--innodb-use-native-aio=0"];
const LISTEN = ["--skip-name-resolve", "--bind-address=127.0.0.1"];

/** MySQL where K3S_TEST_MYSQL_ROOT names one, else MariaDB. `folder`: where a file may be put that is needed until the data folder is made. */
export async function findMysqlPrograms(folder: string): Promise<MysqlPrograms> {
  const root = process.env[ROOT_VARIABLE] ?? "";
  return root === "" ? mariaDb() : mysql(await realpath(root), folder);
}

async function mariaDb(): Promise<MysqlPrograms> {
  const program = await realpath(await findProgram("mariadbd"));
  const base = dirname(dirname(program));
  const own = ["--no-defaults", `--basedir=${base}`, "--user=root"];
  const settings = ["--innodb-log-file-size=16M", ...SETTINGS];
  const rights = ["--auth-root-authentication-method=normal", "--skip-test-db"];
  const install = [join(base, "bin/mariadb-install-db"), ...own, ...rights, ...settings];
  return {
    product: "MariaDB",
    install: ["env", ...libraryPath(base), ...install],
    serve: ["env", ...libraryPath(base), program, ...own, ...settings, ...LISTEN],
    withoutTls: "--skip-ssl",
  };
}

/** Debian's packages, unpacked anywhere, have the libraries beside the program. */
function libraryPath(base: string): string[] {
  const folder = join(base, LIBRARIES);
  return base === "/usr" || !existsSync(folder) ? [] : [`LD_LIBRARY_PATH=${folder}`];
}

// Its own loader and C library: those of this machine may be too old for it.
async function mysql(root: string, folder: string): Promise<MysqlPrograms> {
  const base = join(root, "usr");
  const loader = [join(base, "lib64/ld-linux-x86-64.so.2"), "--library-path", join(base, LIBRARIES)] as const;
  const files = [
    `--lc-messages-dir=${join(base, "share/mysql")}`,
    `--character-sets-dir=${join(base, "share/mysql/charsets")}`,
    `--plugin-dir=${join(base, "lib/mysql/plugin")}`,
  ];
  const own = ["--no-defaults", `--basedir=${base}`, ...files, "--user=root"];
  const settings = ["--innodb-redo-log-capacity=32M", ...SETTINGS];
  const program = [...loader, join(base, "sbin/mysqld"), ...own, ...settings] as const;
  const rights = join(folder, "rights.sql");
  await writeFile(rights, "CREATE USER root@127.0.0.1;\nGRANT ALL ON *.* TO root@127.0.0.1 WITH GRANT OPTION;\n");
  return {
    product: "MySQL",
    install: [...program, "--initialize-insecure", `--init-file=${rights}`],
    serve: [...program, ...LISTEN, "--mysqlx=OFF", "--secure-file-priv="],
    withoutTls: "--tls-version=",
  };
}
