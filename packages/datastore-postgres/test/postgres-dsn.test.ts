import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { parsePostgresDsn } from "../src/index.ts";
import type { PostgresEnvironment } from "../src/postgres-environment.ts";

/** Nothing of the machine. */
const EMPTY = { env: {}, user: "me", home: "/home/me", readText: () => undefined, isThere: () => false } as const;

function parse(dsn: string, more: Partial<PostgresEnvironment> = {}) {
  return parsePostgresDsn(dsn, { ...EMPTY, ...more });
}

const hostsOf = (dsn: string, more: Partial<PostgresEnvironment> = {}) =>
  parse(dsn, more).hosts.map(({ host, port }) => `${host}:${port}`);

describe("O1 DSN parsing: parsePostgresDsn()", () => {
  for (const dsn of ["", "postgres://", "postgresql://"]) {
    test(`takes kine's defaults for "${dsn}"`, () => {
      const { hosts, user, password, database, sslMode } = parse(dsn);
      assert.deepEqual([user, password, database, sslMode], ["postgres", "postgres", "kubernetes", "prefer"]);
      assert.deepEqual(hosts, [{ host: "localhost", port: 5432 }]);
    });
  }

  const databases = [
    ["postgres://h", "kubernetes"],
    ["postgres://h/", "kubernetes"],
    ["postgres://h/MiXed", "mixed"],
    ["postgres://h/a%2Fb", "a/b"],
    ["postgres://h/path?dbname=Query", "Query"],
  ] as const;
  for (const [dsn, database] of databases) {
    test(`finds the database of ${dsn}`, () => assert.equal(parse(dsn).database, database));
  }

  test("decodes user and password", () => {
    const { user, password } = parse("postgres://us%40er:p%3A%2F%40%25w@h/d");
    assert.deepEqual([user, password], ["us@er", "p:/@%w"]);
  });

  test("takes several hosts, with ports of their own or the first one's", () => {
    assert.deepEqual(hostsOf("postgres://a:1,b:2/d"), ["a:1", "b:2"]);
    assert.deepEqual(hostsOf("postgres://a,b/d"), ["a:5432", "b:5432"]);
    assert.deepEqual(hostsOf("postgres://b:8,[::1]:7/d"), ["b:8", "::1:7"]);
    assert.deepEqual(hostsOf("postgres://a,b:2/d"), ["a:2", "b:2"]);
    assert.deepEqual(hostsOf("postgres:///d?host=/run/pg&port=7"), ["/run/pg:7"]);
  });

  test("counts the first value of a parameter, and keeps those of the session", () => {
    const { sslMode, connectTimeoutMs, parameters, canPrepare } = parse(
      "postgres://h/d?sslmode=disable&sslmode=require&connect_timeout=3&search_path=a,b&application_name=x",
    );
    assert.deepEqual([sslMode, connectTimeoutMs, canPrepare], ["disable", 3000, true]);
    assert.deepEqual(parameters, { search_path: "a,b", application_name: "x" });
    assert.equal(parse("postgres://h/d?default_query_exec_mode=exec").canPrepare, false);
    assert.equal(parse("postgres://h/d?statement_cache_capacity=0").canPrepare, false);
  });

  test("puts files of the command line under the parameters, and then verifies", () => {
    const tls = { caFile: "/ca", certFile: "/cert", keyFile: "/key" };
    const { sslMode, sslRootCert, sslCert, sslKey } = parse("postgres://h/d?sslrootcert=/other", { tls });
    assert.deepEqual([sslMode, sslRootCert, sslCert, sslKey], ["verify-full", "/other", "/cert", "/key"]);
    assert.equal(parse("postgres://h/d?sslmode=require", { tls }).sslMode, "require");
    const unverified = parse("postgres://h/d", { tls: { ...tls, skipVerify: true } });
    assert.deepEqual([unverified.sslMode, unverified.sslRootCert, unverified.sslCert], ["require", "", "/cert"]);
    assert.equal(parse("postgres://h/d?sslmode=verify-ca", { tls: { ...tls, skipVerify: true } }).sslMode, "verify-ca");
  });

  for (const kind of ["any", "read-write", "read-only", "primary", "standby", "prefer-standby"])
    test(`reads target_session_attrs=${kind}, in the string and in the environment`, () => {
      assert.equal(parse(`postgres://a,b/d?target_session_attrs=${kind}`).sessionKind, kind);
      assert.equal(parse("postgres://a,b/d", { env: { PGTARGETSESSIONATTRS: kind } }).sessionKind, kind);
    });

  for (const mode of ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"])
    test(`reads sslmode=${mode}`, () => assert.equal(parse(`postgres://h/d?sslmode=${mode}`).sslMode, mode));

  const negotiable = [
    "channel_binding=prefer&channel_binding=require",
    "channel_binding=disable",
    "channel_binding=",
    "sslnegotiation=postgres",
    "min_protocol_version=3.0",
    "max_protocol_version=3.0",
    "max_protocol_version=3.2",
    "min_protocol_version=3.0&max_protocol_version=latest",
    "require_auth=",
  ];
  for (const parameter of negotiable)
    test(`takes ${parameter} for the connection, not for the session`, () => {
      const { parameters, sslMode, isTlsDirect } = parse(`postgres://h/d?${parameter}`);
      assert.deepEqual([parameters, sslMode, isTlsDirect], [{}, "prefer", false]);
    });

  const refused = [
    { parameter: "channel_binding=require", variable: "PGCHANNELBINDING", cure: /sslmode=verify-full/ },
    { parameter: "require_auth=scram-sha-256", variable: "PGREQUIREAUTH", cure: /sslmode=verify-full/ },
    { parameter: "min_protocol_version=3.2", variable: "PGMINPROTOCOLVERSION", cure: /3\.0/ },
    { parameter: "min_protocol_version=latest", variable: "PGMINPROTOCOLVERSION", cure: /3\.0/ },
    { parameter: "max_protocol_version=2.0", variable: "PGMAXPROTOCOLVERSION", cure: /3\.0, 3\.2, latest/ },
    { parameter: "sslnegotiation=later", variable: "PGSSLNEGOTIATION", cure: /postgres, direct/ },
  ];
  for (const { parameter, variable, cure } of refused)
    test(`refuses ${parameter}, in the string and in the environment, and says what to write`, () => {
      const [name = "", value] = parameter.split("=");
      const told = { code: "ERR_POSTGRES_DSN", message: new RegExp(`: ${name}: .*${cure.source}`) };
      assert.throws(() => parse(`postgres://h/d?${parameter}`), told);
      assert.throws(() => parse("postgres://h/d", { env: { [variable]: value } }), told);
    });

  test("begins with TLS at once where sslnegotiation=direct says so, and with nothing less", () => {
    for (const [mode, used] of [
      ["", "require"],
      ["prefer", "require"],
      ["allow", "allow"],
      ["verify-ca", "verify-ca"],
    ]) {
      const { isTlsDirect, sslMode } = parse(`postgres://h/d?sslnegotiation=direct&sslmode=${mode}`);
      assert.deepEqual([isTlsDirect, sslMode], [true, used]);
    }
    const env = { PGSSLNEGOTIATION: "direct" };
    assert.equal(parse("postgres://h/d", { env }).isTlsDirect, true);
    assert.equal(parse("postgres://h/d?sslnegotiation=postgres", { env }).isTlsDirect, false);
  });

  test("takes the system's certificates for sslrootcert=system, and verifies all then", () => {
    for (const mode of ["", "&sslmode=require", "&sslmode=disable"]) {
      const { sslRootCert, sslMode } = parse(`postgres://h/d?sslrootcert=system${mode}`);
      assert.deepEqual([sslRootCert, sslMode], ["", "verify-full"]);
    }
    assert.equal(parse("postgres://h/d", { env: { PGSSLROOTCERT: "system" } }).sslMode, "verify-full");
  });

  test("sets what PGTZ and PGOPTIONS say in each session", () => {
    const { parameters } = parse("postgres://h/d", { env: { PGTZ: "UTC", PGOPTIONS: "-c geqo=off" } });
    assert.deepEqual(parameters, { timezone: "UTC", options: "-c geqo=off" });
  });

  test("finds files and times that the environment names, unless the string does", () => {
    const texts: Readonly<Record<string, string>> = {
      "/pw": "*:*:*:*:from-pw\n",
      "/other": "*:*:*:*:from-other\n",
      "/services": "[one]\nhost=s\nport=8\n",
    };
    const readText = (path: string) => texts[path];
    const env = {
      ...{ PGPASSFILE: "/pw", PGSERVICEFILE: "/services", PGSERVICE: "one" },
      ...{ PGCONNECT_TIMEOUT: "7", PGSSLROOTCERT: "/ca" },
    };
    const found = parse("postgres://u@/d", { env, readText });
    assert.deepEqual(
      [found.password, found.connectTimeoutMs, found.sslRootCert, found.hosts],
      ["from-pw", 7000, "/ca", [{ host: "s", port: 8 }]],
    );
    const given = "postgres://u@h/d?passfile=/other&connect_timeout=2&sslrootcert=/mine";
    const own = parse(given, { env, readText });
    assert.deepEqual([own.password, own.connectTimeoutMs, own.sslRootCert], ["from-other", 2000, "/mine"]);
  });

  test("asks the environment for what the string leaves open", () => {
    const env = { PGHOST: "e", PGPORT: "6", PGUSER: "eu", PGPASSWORD: "ep", PGSSLMODE: "require", PGDATABASE: "ed" };
    const all = parse("postgres:///", { env });
    assert.deepEqual([all.user, all.password, all.sslMode, all.database], ["eu", "ep", "require", "kubernetes"]);
    assert.deepEqual(hostsOf("postgres:///d", { env }), ["e:6"]);
    assert.deepEqual(hostsOf("postgres://h:7/d", { env }), ["h:7"]);
    assert.equal(parse("postgres://u@h/d", { env }).user, "u");
  });

  test("finds the password in the password file, and settings in the service file", () => {
    const files: Readonly<Record<string, string>> = {
      "/home/me/.pgpass": "# all\nother:*:*:*:no\nh:5432:d:u:se\\:cret\n*:*:*:*:any\n",
      "/home/me/.pg_service.conf": "[one]\nhost=x\n[two]\nhost = s\nport = 9\ndbname=sd\n",
    };
    const readText = (path: string) => files[path];
    assert.equal(parse("postgres://u@h/d", { readText }).password, "se:cret");
    assert.equal(parse("postgres://u@h2/d", { readText }).password, "any");
    assert.equal(parse("postgres://u:own@h/d", { readText }).password, "own");
    assert.deepEqual(hostsOf("postgres:///d?service=two", { readText }), ["s:9"]);
    assert.throws(() => parse("postgres://h/d?service=three", { readText }), /"three" is not to be found/);
  });

  const wrong = [
    "mysql://u:hunter2@h/d",
    "postgres://u:hunter2@h:0/d",
    "postgres://u:hunter2@h:x/d",
    "postgres://u:hunter2@a:1,b/d", // as Go: behind the last colon stands no port
    "postgres://u:hunter2@[::1/d",
    "postgres://u:hunter2%zz@h/d",
    "postgres://u:hunter2 x@h/d",
    "postgres://u:hun/ter2@h/d",
    "postgres://u:hunter2@h/d?sslmode=perhaps",
    "postgres://u:hunter2@h/d?connect_timeout=soon",
    "postgres://u:hunter2@h/d?target_session_attrs=best",
    "postgres://h/d?password=hunter2&sslcert=/c",
    "postgres://h/d?password=hunter2;x=y",
    "postgres://host=h user=u password=hunter2 dbname=d",
    "postgres://password = 'hunter2 'host=h",
  ];
  for (const dsn of wrong) {
    test(`refuses ${dsn} and shows no password`, () => {
      assert.throws(
        () => parse(dsn),
        (error: unknown) => {
          assert.ok(error instanceof Error && "code" in error, String(error));
          assert.equal(error.code, "ERR_POSTGRES_DSN");
          assert.doesNotMatch(error.message, /hun\/?ter2/);
          return true;
        },
      );
    });
  }
});
