import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { EndpointError, parseEndpoint, sqliteFile, type Endpoint } from "../src/index.ts";

/** Reads the endpoint and gives back its SQLite part. */
function sqlite(text: string) {
  const endpoint = parseEndpoint(text);
  assert.equal(endpoint.kind, "sqlite");
  return endpoint.kind === "sqlite" ? endpoint.dsn : assert.fail();
}

describe("O1 DSN parsing: parseEndpoint(): the scheme decides", () => {
  const cases: readonly (readonly [string, Endpoint])[] = [
    ["mysql://u:p@tcp(h)/d", { kind: "mysql", scheme: "mysql", address: "u:p@tcp(h)/d" }],
    ["mysql://", { kind: "mysql", scheme: "mysql", address: "" }],
    ["postgres://h/d", { kind: "postgres", scheme: "postgres", address: "h/d" }],
    ["postgresql://h/d?x=://", { kind: "postgres", scheme: "postgresql", address: "h/d?x=://" }],
    ["nats://h:4222,h2:4222", { kind: "nats", scheme: "nats", address: "h:4222,h2:4222" }],
    ["jetstream://h", { kind: "nats", scheme: "jetstream", address: "h" }],
  ];
  for (const [text, expected] of cases) test(text, () => assert.deepEqual(parseEndpoint(text), expected));
});

describe("O1 DSN parsing: parseEndpoint(): servers of an etcd", () => {
  const cases = [
    ["http://a:2379", ["http://a:2379"]],
    ["https://a:2379,https://b:2379", ["https://a:2379", "https://b:2379"]],
    ["https://a:2379,b:2380 , c.example.org:1", ["https://a:2379", "https://b:2380", "https://c.example.org:1"]],
    ["http://127.0.0.1:2379/,http://[::1]:2379/", ["http://127.0.0.1:2379", "http://[::1]:2379"]],
    ["unix:///run/kine.sock", ["unix:///run/kine.sock"]],
    ["unixs://kine.sock", ["unixs://kine.sock"]],
  ] as const;
  for (const [text, servers] of cases)
    test(text, () => assert.deepEqual(parseEndpoint(text), { kind: "etcd", servers }));
});

describe("O1 DSN parsing: parseEndpoint(): file of a SQLite endpoint", () => {
  const cases = [
    ["", "/srv/db/state.db"],
    ["sqlite://", "/srv/db/state.db"],
    ["sqlite://?_sync=FULL", "/srv/db/state.db"],
    ["sqlite:///var/x.db", "/var/x.db"],
    ["sqlite://./db/x.db?_sync=FULL", "/srv/db/x.db"],
    ["sqlite://x%20y.db", "/srv/x%20y.db"],
    ["sqlite://file:/var/x%20y.db?cache=shared&mode=rwc", "/var/x y.db"],
    ["sqlite://file:///var/x.db", "/var/x.db"],
    ["sqlite://file://localhost/var/x.db", "/var/x.db"],
    ["sqlite://file:x.db", "/srv/x.db"],
    ["litestream:///var/x.db", "/var/x.db"],
  ] as const;
  for (const [text, path] of cases)
    test(`"${text}" is ${path}`, () => assert.equal(sqliteFile(sqlite(text), "/srv"), path));
});

describe("O1 DSN parsing: parseEndpoint(): parameters of a SQLite endpoint", () => {
  const external = { checkpoints: "external" };
  const cases = [
    [
      "_journal_mode=WAL&_busy_timeout=30000&_txlock=immediate&_stmt_cache_size=20&cache=shared",
      { busyTimeoutMs: 30_000 },
    ],
    ["_timeout=7", { busyTimeoutMs: 7 }],
    ["_busy_timeout=1&_timeout=2", { busyTimeoutMs: 2 }],
    ["_timeout=-5", { busyTimeoutMs: 0 }],
    ["_synchronous=FULL", { synchronous: "FULL" }],
    ["_sync=extra", { synchronous: "EXTRA" }],
    ["_sync=2", { synchronous: "FULL" }],
    ["_sync=full&_synchronous=off", { synchronous: "FULL" }],
    ["_sync=", {}],
    ["_journal=wal", {}],
    ["_vacuum=none", { autoVacuum: "NONE" }],
    ["_auto_vacuum=1", { autoVacuum: "FULL" }],
    ["_cache_size=-8000", { cachePages: -8000 }],
    ["_secure_delete=on", { secureDelete: "ON" }],
    ["_secure_delete=fast", { secureDelete: "FAST" }],
    ["_secure_delete=default", {}],
    ["_fk=1&_cslike=off&_rt=yes&_mutex=full&_loc=auto&_locking=normal&_query_only=0", {}],
    ["_sync=FULL&_sync=OFF", { synchronous: "FULL" }],
    ["_s%79nc=FU%4CL", { synchronous: "FULL" }],
    ["&&_sync=FULL&", { synchronous: "FULL" }],
    ["_kine_disable_startup_vacuum&_kine_disable_compact_wal_checkpoint=true", {}],
    ["_kine_disable_wal_autocheckpoint", external],
  ] as const;
  for (const [query, settings] of cases)
    test(query, () => assert.deepEqual(sqlite(`sqlite:///x.db?${query}`).settings, settings));

  test("kine's words count wherever they stand, also in the path", () => {
    const word = "_kine_disable_wal_autocheckpoint";
    assert.deepEqual(sqlite(`sqlite:///srv/${word}/x.db`).settings, external);
    assert.deepEqual(sqlite(`sqlite:///srv/x${word}?_sync=FULL`).settings, { synchronous: "FULL", ...external });
    for (const other of ["_kine_disable_startup_vacuum", "_kine_disable_compact_wal_checkpoint"])
      assert.deepEqual(sqlite(`sqlite:///srv/${other}.db`).settings, {});
  });

  test("litestream:// leaves the checkpoints to Litestream", () => {
    assert.deepEqual(sqlite("litestream:///x.db?_timeout=5").settings, { busyTimeoutMs: 5, ...external });
  });

  for (const query of ["_synchronous=NORMAL", "_sync=1", "_sync=off", "_synchronous=0"])
    test(`${query} is honoured, with a warning`, () => {
      const { settings, warnings } = sqlite(`sqlite:///x.db?${query}`);
      assert.match(settings.synchronous ?? "", /^(NORMAL|OFF)$/);
      assert.match(warnings.join(), /a power failure can take back writes/);
    });

  test("warns of parameters that nobody knows, without their values", () => {
    const { warnings } = sqlite("sqlite:///x.db?_auth_pass=hunter2&foo=bar");
    assert.equal(warnings.length, 2);
    assert.doesNotMatch(warnings.join(), /hunter2/);
  });

  test("has nothing to warn of when all is well", () => {
    assert.deepEqual(sqlite("sqlite:///x.db?_journal_mode=WAL&_synchronous=FULL").warnings, []);
  });
});

describe("O1 DSN parsing: parseEndpoint(): refuses", () => {
  const cases = [
    ["etcd", "ERR_ENDPOINT_SCHEME", "it has no scheme"],
    ["sqlite", "ERR_ENDPOINT_SCHEME", "it has no scheme"],
    ["mysql:/root@/", "ERR_ENDPOINT_SCHEME", "it has no scheme"],
    ["root:hunter2@tcp(h)/k", "ERR_ENDPOINT_SCHEME", "it has no scheme"],
    ["mariadb://root:hunter2@h/k", "ERR_ENDPOINT_SCHEME", '"mariadb"'],
    ["://x", "ERR_ENDPOINT_SCHEME", '""'],
    ["toString://x", "ERR_ENDPOINT_SCHEME", '"toString"'],
    ["memory://", "ERR_ENDPOINT_NOT_SERVED", "does not survive a restart"],
    ["t4:///var/lib", "ERR_ENDPOINT_NOT_SERVED", "t4"],
    ["dqlite://x", "ERR_ENDPOINT_NOT_SERVED", "dqlite"],
    ["sqlite:///x?_sync=half", "ERR_ENDPOINT_MALFORMED", '_sync is "half"'],
    ["sqlite:///x?_busy_timeout=1s", "ERR_ENDPOINT_MALFORMED", '_busy_timeout is "1s"'],
    ["sqlite:///x?_journal=DELETE", "ERR_ENDPOINT_MALFORMED", "_journal is DELETE"],
    ["sqlite:///x?_journal=oops", "ERR_ENDPOINT_MALFORMED", '_journal is "oops"'],
    ["sqlite:///x?_locking=exclusive", "ERR_ENDPOINT_MALFORMED", "_locking is EXCLUSIVE"],
    ["sqlite:///x?_query_only=1", "ERR_ENDPOINT_MALFORMED", "_query_only is on"],
    ["sqlite:///x?_txlock=Immediate", "ERR_ENDPOINT_MALFORMED", "_txlock"],
    ["sqlite:///x?_fk=maybe", "ERR_ENDPOINT_MALFORMED", '_fk is "maybe"'],
    ["sqlite:///x?_vacuum=9", "ERR_ENDPOINT_MALFORMED", "_vacuum"],
    ["sqlite:///x?_cache_size=1e3", "ERR_ENDPOINT_MALFORMED", "_cache_size"],
    ["sqlite:///x?mode=ro", "ERR_ENDPOINT_MALFORMED", 'mode is "ro"'],
    ["sqlite:///x?immutable=1", "ERR_ENDPOINT_MALFORMED", "immutable is on"],
    ["sqlite:///x?a=1;b=2", "ERR_ENDPOINT_MALFORMED", "semicolon"],
    ["sqlite:///x?a=%zz", "ERR_ENDPOINT_MALFORMED", "percent sign"],
    ["sqlite://:memory:", "ERR_ENDPOINT_MALFORMED", "in memory"],
    ["sqlite://file::memory:?cache=shared", "ERR_ENDPOINT_MALFORMED", "in memory"],
    ["sqlite://file://host/x", "ERR_ENDPOINT_MALFORMED", '"host"'],
    ["sqlite://file:/%e0%80", "ERR_ENDPOINT_MALFORMED", "percent sign"],
    ["sqlite:///x\0y", "ERR_ENDPOINT_MALFORMED", "zero byte"],
    ["https://", "ERR_ENDPOINT_MALFORMED", "empty item"],
    ["https://a:2379,,b:2379", "ERR_ENDPOINT_MALFORMED", "empty item"],
    ["https://a", "ERR_ENDPOINT_MALFORMED", '"a" has no port'],
    ["https://a:2379,http://b:2379", "ERR_ENDPOINT_MALFORMED", "by TLS"],
    ["https://a:2379,mysql://b", "ERR_ENDPOINT_MALFORMED", '"mysql"'],
    ["https://a:0", "ERR_ENDPOINT_MALFORMED", "port"],
    ["https://a:99999", "ERR_ENDPOINT_MALFORMED", "port"],
    ["https://a:2379/v3", "ERR_ENDPOINT_MALFORMED", '"/v3"'],
    ["https://u:hunter2@a:2379", "ERR_ENDPOINT_MALFORMED", "client certificate"],
    ["unix://", "ERR_ENDPOINT_MALFORMED", "no path"],
  ] as const;
  for (const [text, code, part] of cases) {
    test(`${JSON.stringify(text)}: ${part}`, () => {
      assert.throws(
        () => parseEndpoint(text),
        (error) => {
          assert.ok(error instanceof EndpointError, String(error));
          assert.equal(error.code, code);
          assert.ok(error.reason.includes(part), error.reason);
          assert.ok(error.message.endsWith(error.reason));
          assert.match(error.message, /^Cannot use datastore endpoint ".*": /s);
          assert.ok((error.hint ?? "").length > 20);
          assert.doesNotMatch(`${error.message} ${error.hint ?? ""}`, /hunter2/);
          return true;
        },
      );
    });
  }
});

describe("O1 DSN parsing: parseEndpoint(): fuzz", () => {
  const words = [
    ...[
      "sqlite://",
      "litestream://",
      "mysql://",
      "https://",
      "unix://",
      "memory://",
      "file:",
      "://",
      "/",
      "?",
      "&",
      "=",
    ],
    ...[
      "_sync",
      "_synchronous",
      "_timeout",
      "mode",
      "_kine_disable_wal_autocheckpoint",
      "FULL",
      "off",
      "12",
      "-1",
      "%41",
    ],
    ...[
      "%",
      "%zz",
      ",",
      ":",
      "@",
      "a",
      "b.example.org",
      "2379",
      "[::1]",
      "\0",
      "é",
      "\u{1f600}",
      ";",
      " ",
      "__proto__",
    ],
  ];

  test("any text is understood or refused by an EndpointError, at once", () => {
    let state = 42;
    const next = (limit: number) => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      return (state >>> 8) % limit;
    };
    let understood = 0;
    for (let i = 0; i < 30_000; i++) {
      const text = Array.from({ length: next(9) }, () => words[next(words.length)]).join("");
      try {
        parseEndpoint(text);
        understood++;
      } catch (error) {
        if (!(error instanceof EndpointError)) assert.fail(`${JSON.stringify(text)}: ${String(error)}`);
      }
    }
    assert.ok(understood > 300, `${understood} understood`); // else the words do not reach the parsers
  });

  test("stays linear on long input", () => {
    for (const unit of ["a", "%", "a,", "&a=", "@:", "://", "_sync="]) {
      for (const scheme of ["sqlite://", "https://a:1,", "mysql://"]) {
        try {
          parseEndpoint(scheme + unit.repeat(100_000));
        } catch (error) {
          assert.ok(error instanceof EndpointError);
        }
      }
    }
  });
});
